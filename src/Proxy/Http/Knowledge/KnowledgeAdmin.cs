using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>
/// Documents on the admin socket: <c>POST /knowledge/VERB</c> with a line of JSON, and after it the content of a file if the verb takes one. The answer is a
/// JSON object, or <c>{"error":{"message"}}</c>. <c>backup</c> answers with the files of the copy instead: before each a line of JSON, at the end an empty one.
/// </summary>
/// <param name="knowledge">Null: this proxy has no knowledge.</param>
/// <param name="absent">Why it has none.</param>
/// <param name="config">The section <c>[knowledge]</c>.</param>
/// <param name="time">The clock.</param>
internal sealed class KnowledgeAdmin(KnowledgeParts? knowledge, string absent, Config.KnowledgeConfig config, TimeProvider time)
{
    private const string Prefix = "/knowledge/";

    /// <summary>The longest line of JSON: paths and attributes are in it.</summary>
    private const int LongestLine = 1 << 20;

    public IReadOnlyList<EndpointRow> AdminRows => [new("POST", [Prefix], AnswerAsync)];

    private async Task AnswerAsync(HttpContext context)
    {
        using var body = new PooledBody();
        var status = StatusCodes.Status200OK;
        try
        {
            if (knowledge is null) throw new OperatorException(absent);
            var verb = context.Request.Path.Value![Prefix.Length..];
            using var asked = await ReadLineAsync(context.Request.BodyReader, context.RequestAborted);
            if (verb == "backup")
            {
                await BackupAsync(context, knowledge);
                return;
            }

            await using var json = new Utf8JsonWriter(body);
            json.WriteStartObject();
            await new KnowledgeOperator(knowledge, config, time)
                .AnswerAsync(verb, asked.RootElement, context.Request.BodyReader.AsStream(), json, context.RequestAborted);
            json.WriteEndObject();
        }
        catch (Exception problem) when (problem is OperatorException or KnowledgeStoreException or JsonException)
        {
            status = problem is KnowledgeStoreException ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status400BadRequest;
            body.Clear();
            await using var json = new Utf8JsonWriter(body);
            json.WriteStartObject();
            json.WriteStartObject("error");
            json.WriteString("message", problem.Message);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        await context.Response.BodyWriter.WriteAsync(body.Memory);
    }

    private static async Task<JsonDocument> ReadLineAsync(PipeReader body, CancellationToken cancellation)
    {
        while (true)
        {
            var read = await body.ReadAsync(cancellation);
            if (read.Buffer.PositionOf((byte)'\n') is { } end)
            {
                var line = read.Buffer.Slice(0, end).ToArray();
                body.AdvanceTo(read.Buffer.GetPosition(1, end));
                return JsonDocument.Parse(line);
            }

            if (read.IsCompleted || read.Buffer.Length > LongestLine) throw new OperatorException("the request does not begin with a line of JSON");
            body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    /// <summary>Makes the copy in the state directory, because a service may not write where its caller wants it, and sends it.</summary>
    private async Task BackupAsync(HttpContext context, KnowledgeParts parts)
    {
        if (config.Folder is not { } home) throw new OperatorException("there is no state directory to make the copy in; set STATE_DIRECTORY");
        var folder = Path.Combine(Path.GetDirectoryName(home)!, "backup-" + Guid.NewGuid().ToString("N"));
        try
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            await parts.Store.BackupAsync(folder, context.RequestAborted);
            context.Response.ContentType = "application/octet-stream";
            var output = context.Response.BodyWriter.AsStream();
            foreach (var path in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                await using var file = File.OpenRead(path);
                await WriteLineAsync(output, Path.GetRelativePath(folder, path), file.Length);
                await file.CopyToAsync(output, context.RequestAborted);
            }

            await output.WriteAsync("{}\n"u8.ToArray(), context.RequestAborted);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException && !context.Response.HasStarted)
        {
            throw new OperatorException($"the copy could not be made: {problem.Message}");
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task WriteLineAsync(Stream output, string name, long bytes)
    {
        var line = new ArrayBufferWriter<byte>();
        await using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteNumber("bytes", bytes);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        await output.WriteAsync(line.WrittenMemory);
    }
}
