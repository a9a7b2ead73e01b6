using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>The lines that a proxy process writes to stderr; each must be one JSON object.</summary>
internal sealed class ProxyLog
{
    private readonly Lock gate = new();
    private readonly List<JsonElement> lines = [];
    private readonly List<string> strays = [];
    private readonly List<(Func<JsonElement, bool> Wanted, TaskCompletionSource<JsonElement> Found)> waiting = [];
    private bool closed;

    /// <summary>The lines that are remembered at most, for a test that makes very many; null: all.</summary>
    public int? Most { get; set; }

    /// <summary>Called for each line, under a lock.</summary>
    public Action<JsonElement> Read { get; set; } = static _ => { };

    /// <summary>Lines that are not JSON objects; there must be none.</summary>
    public IReadOnlyList<string> Strays
    {
        get
        {
            lock (gate)
                return [.. strays];
        }
    }

    public IReadOnlyList<JsonElement> Lines
    {
        get
        {
            lock (gate)
                return [.. lines];
        }
    }

    public string Tail => string.Join('\n', Strays.Concat(Lines.Select(line => line.GetRawText())).TakeLast(40));

    public void Add(string text)
    {
        JsonElement? line = null;
        try
        {
            using var document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                line = document.RootElement.Clone();
        }
        catch (JsonException)
        {
            // Kept in Strays; a test asserts that there are none.
        }

        lock (gate)
        {
            if (line is not { } found)
            {
                strays.Add(text);
                return;
            }

            Read(found);
            lines.Add(found);
            if (Most is { } most && lines.Count > 2 * most) lines.RemoveRange(0, most);
            foreach (var waiter in waiting.Where(waiter => waiter.Wanted(found)).ToArray())
            {
                waiting.Remove(waiter);
                waiter.Found.TrySetResult(found);
            }
        }
    }

    public void Close()
    {
        lock (gate)
        {
            closed = true;
            foreach (var (_, found) in waiting)
                found.TrySetException(new InvalidOperationException("the proxy ended before it wrote the awaited line; it wrote:\n"
                    + string.Join('\n', strays.Concat(lines.Select(line => line.GetRawText())).TakeLast(40))));
            waiting.Clear();
        }
    }

    /// <summary>The first line, already written or still to come, that <paramref name="wanted"/> accepts.</summary>
    public Task<JsonElement> LineAsync(Func<JsonElement, bool> wanted, string what)
    {
        lock (gate)
        {
            foreach (var line in lines.Where(wanted))
                return Task.FromResult(line);

            if (closed)
                throw new InvalidOperationException($"the proxy has ended without {what}");

            var found = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
            waiting.Add((wanted, found));
            return Patience.For(found.Task, $"the log line of {what}");
        }
    }

    public Task<JsonElement> EventAsync(string name) => LineAsync(line => Text(line, "event") == name, name);

    /// <summary>The one line of a finished call, found by the correlation id that the test's client sent.</summary>
    public async Task<CallLine> CallAsync(string correlation) =>
        new(await LineAsync(line => Text(line, "event") == "call" && Text(line, "correlation_id") == correlation, $"call {correlation}"));

    /// <summary>Number of log lines of one call.</summary>
    public int CallsOf(string correlation) => Lines.Count(line => Text(line, "event") == "call" && Text(line, "correlation_id") == correlation);

    public static string? Text(JsonElement line, string name) =>
        line.TryGetProperty(name, out var value) ? value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText() : null;
}
