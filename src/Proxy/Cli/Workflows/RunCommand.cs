using System.Buffers;
using System.CommandLine;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Cli.Workflows;

/// <summary>
/// <c>proxy run PIPELINE TEXT…</c>: asks a pipeline as a client does, and prints its answer as it comes. Ctrl-C cancels the job. It calls the public
/// listener, with the key in $PROXY_KEY if the proxy has keys.
/// </summary>
internal static class RunCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var pipeline = new Argument<string>("PIPELINE") { Description = "The pipeline's name; proxy models lists them." };
        var text = new Argument<string[]>("TEXT") { Description = "What to ask. If left out, stdin is read.", Arity = ArgumentArity.ZeroOrMore };
        var url = new Option<string?>("--url")
        {
            Description = "The address of a proxy, if not the one that the configuration describes; the key is taken from $PROXY_KEY.", HelpName = "URL",
        };
        var json = new Option<bool>("--json") { Description = "Print the events, one JSON object on each line, instead of the text." };
        var command = new Command("run", "Run a pipeline and print its answer as it comes; on stderr, which task speaks. Ctrl-C cancels it.")
        {
            pipeline, text, url, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
            {
                signal.Cancel = !stop.IsCancellationRequested;
                stop.Cancel();
            });
            using var http = Open(around, parsed.GetValue(config), parsed.GetValue(url), out var problem);
            if (http is null)
            {
                around.Error.WriteLine(problem);
                return (int)ExitCode.Usage;
            }

            var words = parsed.GetValue(text) ?? [];
            var asked = words.Length > 0 ? string.Join(' ', words) : await ReadAsync(around.Input(), stop.Token).ConfigureAwait(false);
            return (int)await RunAsync(around, http, Body(parsed.GetRequiredValue(pipeline), asked), parsed.GetValue(json), stop.Token).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, HttpClient http, ReadOnlyMemory<byte> body, bool json, CancellationToken cancellation)
    {
        string? id = null;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = new ReadOnlyMemoryContent(body) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            request.Headers.Add("x-resume", "1"); // so that the answer can be read as events
            using var call = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
            if (!call.IsSuccessStatusCode) return await RefusedAsync(around, call, cancellation).ConfigureAwait(false);
            id = call.Headers.TryGetValues("x-trace-id", out var ids) ? ids.First() : "";
            using var answer = await http.GetAsync($"v1/streams/{id}?as=events", HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
            if (!answer.IsSuccessStatusCode) return await RefusedAsync(around, answer, cancellation).ConfigureAwait(false);

            var text = new EventText(around.Output, around.OutputIsTerminal, around.Error);
            using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false));
            while (await reader.ReadLineAsync(cancellation).ConfigureAwait(false) is { } line)
            {
                if (line.Length == 0) continue;
                if (json) around.Output.WriteLine(line);
                text.See(line, prints: !json);
                around.Output.Flush();
            }

            if (text.Error is not { } error) return ExitCode.Ok;
            around.Error.WriteLine(error);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            if (id is not null) using (await http.DeleteAsync($"v1/streams/{id}", CancellationToken.None).ConfigureAwait(false)) { }
            around.Error.WriteLine("\ncancelled");
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            around.Error.WriteLine($"{http.BaseAddress} cannot be reached, or the connection broke: {(e.InnerException ?? e).Message}");
        }

        return ExitCode.Failed;
    }

    private static async Task<ExitCode> RefusedAsync(Surroundings around, HttpResponseMessage answer, CancellationToken cancellation)
    {
        var body = await answer.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
        string? message = null;
        try
        {
            message = JsonSerializer.Deserialize(body, CliJson.Default.AdminRefusal)?.Error?.Message;
        }
        catch (JsonException)
        {
            // It is not a proxy's.
        }

        var hint = (int)answer.StatusCode is 401 ? " (the key is taken from PROXY_KEY)" : "";
        around.Error.WriteLine((message ?? $"the answer is {(int)answer.StatusCode}") + hint);
        return ExitCode.Failed;
    }

    /// <summary>Null: there is no such address.</summary>
    private static HttpClient? Open(Surroundings around, string? config, string? url, out string? problem)
    {
        problem = null;
        var handler = new SocketsHttpHandler();
        var place = url;
        if (url is null)
        {
            var server = ConfigFile.LoadDraft(ConfigFile.Find(config, around.Environment), around.Sources, out _).Server;
            if (!ListenAddress.TryParse(server.Listen is [var first, ..] ? first : "", out var address, out problem)) return null;
            (handler.UseProxy, handler.ConnectCallback) = (false, (_, token) => HealthcheckCommand.ConnectAsync(address, token));
#pragma warning disable CA5359 // the listener is on this machine, and its certificate is for the name that clients use
            handler.SslOptions.RemoteCertificateValidationCallback = static (_, _, _, _) => true;
#pragma warning restore CA5359
            place = server.Tls is null ? "http://localhost" : "https://localhost";
        }

        if (!Uri.TryCreate(place, UriKind.Absolute, out var whole) || whole.Scheme is not ("http" or "https"))
        {
            problem = "--url takes the address of a proxy, such as http://box.lan:11435";
            return null;
        }

        var root = whole.GetLeftPart(UriPartial.Path).TrimEnd('/');
        if (root.EndsWith("/v1", StringComparison.Ordinal)) root = root[..^3];
        var http = new HttpClient(handler) { BaseAddress = new Uri(root.TrimEnd('/') + "/"), Timeout = Timeout.InfiniteTimeSpan };
        if (around.Environment("PROXY_KEY") is { Length: > 0 } key) http.DefaultRequestHeaders.Authorization = new("Bearer", key.Trim());
        return http;
    }

    private static async Task<string> ReadAsync(Stream input, CancellationToken cancellation)
    {
        using var reader = new StreamReader(input);
        return await reader.ReadToEndAsync(cancellation).ConfigureAwait(false);
    }

    private static ReadOnlyMemory<byte> Body(string pipeline, string text)
    {
        var body = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(body);
        json.WriteStartObject();
        json.WriteString("model"u8, "pipeline/" + pipeline);
        json.WriteBoolean("stream"u8, true);
        json.WriteStartArray("messages"u8);
        json.WriteStartObject();
        json.WriteString("role"u8, "user"u8);
        json.WriteString("content"u8, text);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return body.WrittenMemory;
    }
}
