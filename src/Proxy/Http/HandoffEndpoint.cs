using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;

namespace Proxy.Http;

/// <summary>What the operator wants of a handoff.</summary>
/// <param name="Binary">The program to start; null: the one by which this process was started.</param>
/// <param name="Patience">How long the new process may take until it is ready.</param>
internal sealed record HandoffWish(string? Binary, TimeSpan Patience);

/// <summary>One step of a handoff.</summary>
/// <param name="Event"><c>started</c>, <c>serving</c>, <c>refused</c> (nothing was tried) or <c>failed</c> (this process serves on).</param>
internal sealed record HandoffStep(string Event)
{
    /// <summary>The new process.</summary>
    public int? Pid { get; init; }

    /// <summary>The calls that the old process finishes.</summary>
    public int? Calls { get; init; }

    public string? Reason { get; init; }
}

/// <summary>The operator's endpoint that hands over to a new process: answers with a line of JSON for each step.</summary>
/// <param name="begin">Begins a handoff. It goes on if the operator leaves.</param>
internal sealed class HandoffEndpoint(Func<HandoffWish, ChannelReader<HandoffStep>> begin)
{
    public const string Path = "/handoff";

    public static readonly TimeSpan UsualPatience = TimeSpan.FromSeconds(60);

    public async Task HandleAsync(HttpContext context)
    {
        var query = context.Request.Query;
        var binary = query["binary"].ToString() is { Length: > 0 } named ? named : null;
        var said = query["patience"].ToString();
        var patience = double.TryParse(said, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) && seconds is > 0 and < 3600
            ? TimeSpan.FromSeconds(seconds)
            : UsualPatience;
        context.Response.ContentType = "application/x-ndjson";
        await foreach (var step in begin(new(binary, patience)).ReadAllAsync(context.RequestAborted))
        {
            await using (var json = new Utf8JsonWriter(context.Response.BodyWriter))
            {
                json.WriteStartObject();
                json.WriteString("event", step.Event);
                if (step.Pid is { } pid) json.WriteNumber("pid", pid);
                if (step.Calls is { } calls) json.WriteNumber("calls", calls);
                if (step.Reason is { } reason) json.WriteString("reason", reason);
                json.WriteEndObject();
            }

            await context.Response.BodyWriter.WriteAsync("\n"u8.ToArray());
        }
    }
}
