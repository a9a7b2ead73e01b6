using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Every client's dialect over every host's dialect, in every situation. <c>Transcripts/matrix/SITUATION/CLIENT.json</c> holds the client's request and the
/// requests that each host must then get. The host's answer, and what the client must then see, are the files of a scenario in <c>Transcripts</c>. Every loss
/// has a row of "The matrix" in <c>docs/dialects.md</c>.
/// </summary>
public sealed partial class MatrixTests(MatrixTests.Door door) : IClassFixture<MatrixTests.Door>
{
    private const string Heading = "## The matrix";

    private static readonly JsonSerializerOptions AsWritten = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly string[] Clients = ["openai", "responses", "completions", "ollama", "generate", "anthropic"];
    private static readonly string[] Hosts = ["openai", "ollama", "anthropic"];

    /// <summary>The request (a folder of <c>matrix</c>), the host's answer (a folder beside it), and whether it is whole, streamed, or both.</summary>
    private static readonly (string Name, string Asks, string Answers, bool Whole, bool Streams)[] Situations =
    [
        ("plain", "plain", "plain", true, false),
        ("stream", "stream", "usage_asked", false, true),
        ("two_tools", "two_tools", "two_tools", true, true),
        ("tool_result", "tool_result", "unicode", true, true),
        ("thinking", "thinking", "reasoning", true, true),
        ("image", "image", "plain", true, true),
        ("json_schema", "json_schema", "plain", true, true),
        ("max_tokens", "max_tokens", "length", true, true),
        ("calls_without_ids", "two_tools", "no_call_ids", true, true),
        ("logprobs", "logprobs", "logprobs", true, true),
        ("error_before", "plain", "", true, true),
        ("error_limit", "plain", "", true, true),
        ("error_engine", "plain", "", true, true),
        ("error_first", "plain", "", false, true),
        ("error_after", "plain", "broken_off", false, true),
        ("silence_after", "plain", "broken_off", false, true),
    ];

    /// <summary>Situations in which the host refuses, and the status; the body is a file of the situation.</summary>
    private static readonly Dictionary<string, int> Refusals = new(StringComparer.Ordinal)
    {
        ["error_before"] = 400, ["error_limit"] = 429, ["error_engine"] = 500, ["error_first"] = 200,
    };

    /// <summary>By path of a host: the name of the transcript's file, and the dialect.</summary>
    private static readonly Dictionary<string, (string File, DialectName Dialect)> Paths = new(StringComparer.Ordinal)
    {
        ["/v1/chat/completions"] = ("openai", DialectName.OpenAiChat),
        ["/v1/responses"] = ("responses", DialectName.OpenAiResponses),
        ["/v1/completions"] = ("completions", DialectName.OpenAiCompletions),
        ["/api/chat"] = ("ollama", DialectName.OllamaChat),
        ["/api/generate"] = ("generate", DialectName.OllamaGenerate),
        ["/v1/messages"] = ("anthropic", DialectName.Anthropic),
    };

    public sealed class Door : FrontDoor
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];

        internal FakeBackend this[string name] => hosts[name];

        protected override string Sections()
        {
            var sections = new StringBuilder();
            foreach (var name in Hosts)
            {
                hosts[name] = Host();
                sections.AppendLine($"""
                    [[backends]]
                    name = "{name}"
                    url = "{hosts[name].Url}"
                    dialects = ["{name}"]
                    prefixes = ["{name}-"]
                    {HostSettings}
                    """);
            }

            return sections.ToString();
        }
    }

    public static TheoryData<string, string, string, bool> Cells()
    {
        var cells = new TheoryData<string, string, string, bool>();
        foreach (var (name, asks, answers, whole, streams) in Situations)
        {
            foreach (var client in Clients)
            {
                // This dialect cannot express the request.
                if (!File.Exists(Path.Combine(Wire.Transcripts, "matrix", asks, $"{client}.json"))
                    || (answers == "no_call_ids" && client is "completions" or "generate"))
                {
                    continue;
                }

                foreach (var host in Hosts)
                {
                    if (whole) cells.Add(name, client, host, false);
                    if (streams) cells.Add(name, client, host, true);
                }
            }
        }

        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Cell_comes_across_or_a_row_says_how_not(string situation, string client, string host, bool stream)
    {
        var (_, asks, answers, _, _) = Situations.Single(known => known.Name == situation);
        var cell = JsonNode.Parse(Read($"matrix/{asks}/{client}.json"))!;
        var model = $"{host}-tiny";
        var request = cell["request"]!.DeepClone().AsObject();
        request["model"] = model;
        if (client is "ollama" or "generate" ? !stream : stream) request["stream"] = stream;
        var body = request.ToJsonString(AsWritten);
        var before = door[host].Calls.Count;
        var sent = "";
        door[host].Answer(async exchange =>
        {
            // The host was offered no tool.
            if (answers == "two_tools" && (client is "completions" or "generate" || !exchange.Request.Json.TryGetProperty("tools", out _))) answers = "plain";
            sent = Answer(situation, answers, host, stream, exchange.Request);
            if (Refusals.TryGetValue(situation, out var status) && status != 200)
            {
                await exchange.JsonAsync(sent, status, status == 429 ? ["retry-after: 7"] : []);
            }
            else if (stream) await exchange.StreamAsync(host == "ollama" ? Ollama.Lines : OpenAi.Sse, sent);
            else await exchange.JsonAsync(sent);
        });

        var (reply, line) = await door.CallAsync((string)cell["path"]!, body, client == "anthropic" ? ["anthropic-version: 2023-06-01"] : []);

        var asked = door[host].Calls.Skip(before).SingleOrDefault();
        var lost = door.Proxy.Log.Lines.Where(entry => ProxyLog.Text(entry, "event") == "fields_lost" && ProxyLog.Text(entry, "trace_id") == reply.TraceId)
            .SelectMany(entry => ProxyLog.Text(entry, "lost")!.Split(", "));
        List<string> differences = [.. lost.Select(field => $"lost {field}")];
        Record(situation, client, host, stream, asked, reply, differences);

        if (asked is not null)
        {
            if (asked.Target == (string)cell["path"]!) Assert.Equal(WithUsage(body, client, stream), asked.Json.GetRawText());
            else SameJson(cell[host]!["request"]!, Bare(asked, model, stream));
            if (asked.Target != (string)cell["path"]!) Assert.Equal((string)cell[host]!["path"]!, asked.Target);
        }

        if (Refusals.ContainsKey(situation) || reply.Status != 200)
        {
            if (!Refusals.ContainsKey(situation)) differences.Add($"status 200 → {reply.Status}");
            var refusal = JsonNode.Parse(Read($"matrix/{(asked is null ? asks : situation)}/{client}.refusal.json"))![host]!;
            Assert.Equal((int)refusal["status"]!, reply.Status);
            SameJson(refusal["body"]!, JsonNode.Parse(Masked(reply, model))!);
            Assert.Equal(situation == "error_limit" ? "7" : null, reply.Header("retry-after"));
        }
        else
        {
            var said = Paths[asked!.Target];
            if (asked.Target == (string)cell["path"]!)
            {
                Assert.StartsWith(Verbatim(sent, request, stream), reply.Text, StringComparison.Ordinal);
                // The client gets an error in its own dialect.
                Assert.Equal(situation == "silence_after", reply.Text.Length > Verbatim(sent, request, stream).Length);
                if (situation == "silence_after") Assert.Contains("without", MatrixAnswer.Of(client, stream, reply).Error, StringComparison.Ordinal);
                return;
            }

            var seen = MatrixAnswer.Of(client, stream, reply);
            var expected = Expected(answers, client, said, request, stream);
            if (situation == "silence_after")
            {
                Assert.Contains("without", seen.Error, StringComparison.Ordinal);
                (expected, seen) = (expected.Replace("the engine broke", seen.Error, StringComparison.Ordinal), seen with { Error = "the engine broke" });
                if (client != "anthropic") expected = expected.Replace("api_error", "backend_error", StringComparison.Ordinal); // the host gave no type
            }

            SameAnswer(stream, expected, Masked(reply, model));
            Compare(MatrixAnswer.OfEvents(Read($"{answers}/events.jsonl")), seen, client, request, stream, differences);
        }

        Assert.Equal(Rows(situation, client, host, stream).Order(StringComparer.Ordinal), differences.Distinct().Order(StringComparer.Ordinal));
        Assert.Equal(situation is "error_after" or "silence_after" ? "backend_error" : line.Outcome, line.Outcome);
        if (asked?.Target != (string)cell["path"]!) Conforms(client, stream, reply);
    }

    [Fact]
    public void Every_row_of_the_matrix_Names_a_cell()
    {
        Assert.NotEmpty(Rows());
        foreach (var (situation, client, host, _) in Rows())
        {
            Assert.Contains(Situations, known => known.Name == situation.Split('.')[0]);
            Assert.Contains(client, Clients);
            Assert.Contains(host, Hosts);
        }
    }

    /// <summary>The host's answer: the scenario's file in the dialect of the request.</summary>
    private static string Answer(string situation, string answers, string host, bool stream, FakeRequest asked)
    {
        if (Refusals.TryGetValue(situation, out var status))
        {
            var error = Read($"matrix/{situation}/{host}.host.json").Trim();
            return status != 200
                ? error : host switch { "ollama" => error + "\n", "anthropic" => $"event: error\ndata: {error}\n\n", _ => $"data: {error}\n\n" };
        }

        var (file, _) = Paths[asked.Target];
        if (!stream) return Read($"{answers}/{file}.whole.json").TrimEnd('\n');
        var text = Read($"{answers}/{file}.{(host == "ollama" ? "jsonl" : "sse")}");
        // Everything except the error.
        if (situation == "silence_after")
        {
            return text[..(text.TrimEnd('\n').LastIndexOf(host == "ollama" ? "\n" : "\n\n", StringComparison.Ordinal) + (host == "ollama" ? 1 : 2))];
        }

        // OpenAI's hosts send token counts in a stream if asked, which the proxy does.
        return host == "openai" && answers != "broken_off" && !text.Contains("\"usage\":{", StringComparison.Ordinal)
            && JsonNode.Parse(Read($"{answers}/{file}.whole.json"))!["usage"] is { } usage
            ? text.Replace("data: [DONE]", $$"""data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1795415603,"model":"tiny","choices":"""
                + $$"""[],"usage":{{usage.ToJsonString()}}}""" + "\n\ndata: [DONE]", StringComparison.Ordinal)
            : text;
    }

    /// <summary>
    /// The answer that the client must see: its own file of the scenario or, if the host's dialect cannot express all of it, the remaining events
    /// (<c>HOST.read.jsonl</c>) in the client's dialect.
    /// </summary>
    private static string Expected(string answers, string client, (string File, DialectName Dialect) said, JsonObject request, bool stream)
    {
        var left = Path.Combine(Wire.Transcripts, answers, $"{said.File}.read.jsonl");
        var own = $"{answers}/{client}.{(!stream ? "whole.json" : client is "ollama" or "generate" ? "jsonl" : "sse")}";
        if (!File.Exists(left) || (said.File == "openai" && answers is "length" or "usage_not_asked")) return Read(own);
        var dialect = DialectTable.Client(Paths.Values.Single(known => known.File == client).Dialect)!;
        var events = Wire.Parse(File.ReadAllText(left));
        var stamp = Wire.Stamp with { IncludeUsage = request.ContainsKey("stream_options") };
        return stream ? Wire.Write(dialect, events, stamp) : Wire.Text(output => dialect.WriteWhole(events, stamp, output));
    }

    private static string Verbatim(string sent, JsonObject request, bool stream) =>
        !stream || request.ContainsKey("stream_options")
            ? sent : string.Concat(Frames().Split(sent).Where(frame => !frame.Contains("\"choices\":[],\"usage\":{", StringComparison.Ordinal)));

    private static string WithUsage(string body, string client, bool stream) =>
        stream && client is "openai" or "completions" && !body.Contains("stream_options", StringComparison.Ordinal)
            ? body.Insert(1, "\"stream_options\":{\"include_usage\":true},") : body;

    /// <summary>The request without the members that every request has: the model, and whether to stream.</summary>
    private static JsonObject Bare(FakeRequest asked, string model, bool stream)
    {
        var request = JsonNode.Parse(asked.Body)!.AsObject();
        Assert.Equal(model, (string?)request["model"]);
        Assert.Equal(stream, asked.Target.StartsWith("/api/", StringComparison.Ordinal) ? (bool?)request["stream"] ?? true : (bool?)request["stream"] ?? false);
        if (asked.Target is "/v1/chat/completions" or "/v1/completions") Assert.Equal(stream, (bool?)request["stream_options"]?["include_usage"] ?? false);
        foreach (var name in new[] { "model", "stream", "stream_options" }) request.Remove(name);
        return request;
    }

    private static void Compare(MatrixAnswer meant, MatrixAnswer seen, string client, JsonObject request, bool stream, List<string> differences)
    {
        if (meant.Text != seen.Text) differences.Add(seen.Text.Length == 0 ? "-text" : "other text");
        if (meant.Reasoning != seen.Reasoning) differences.Add(seen.Reasoning.Length == 0 ? "-reasoning" : "other reasoning");
        if (meant.Calls.StartsWith(' '))
        {
            // The host gave no ids, but each call must have an id of its own.
            var calls = seen.Calls.Split('\n');
            Assert.Equal(calls.Length, calls.Select(call => call[..call.IndexOf(' ', StringComparison.Ordinal)]).Where(id => id.Length > 0).Distinct().Count());
            seen = seen with { Calls = string.Join('\n', calls.Select(call => call[call.IndexOf(' ', StringComparison.Ordinal)..])) };
        }

        if (meant.Calls != seen.Calls) differences.Add(seen.Calls.Length == 0 ? "-calls" : $"calls {meant.Calls} → {seen.Calls}");
        else if (meant.Reason != seen.Reason) differences.Add($"reason {meant.Reason} → {seen.Reason}");
        if (meant.Error != seen.Error) differences.Add($"error {seen.Error}");
        // A stream has counts only if the client asked for them.
        var counted = !stream || client is not ("openai" or "completions") || request.ContainsKey("stream_options") ? meant.Usage : null;
        if (counted != seen.Usage) differences.Add($"usage {counted} → {seen.Usage}");
    }

    private static void SameAnswer(bool stream, string expected, string actual)
    {
        var (wanted, got) = (Frames(stream, expected), Frames(stream, actual));
        for (var i = 0; i < Math.Max(wanted.Count, got.Count); i++)
            Assert.True(i < wanted.Count && i < got.Count && wanted[i] == got[i],
                $"frame {i}\nexpected {(i < wanted.Count ? wanted[i] : "no more")}\ngot      {(i < got.Count ? got[i] : "no more")}");
    }

    private static List<string> Frames(bool stream, string text) =>
        [.. (stream ? text.Split('\n', StringSplitOptions.RemoveEmptyEntries) : [text.Trim()]).Select(
            line => line.IndexOf('{', StringComparison.Ordinal) is var at and >= 0 ? line[..at] + Timeless(JsonNode.Parse(line[at..])!).ToJsonString() : line)];

    /// <summary>
    /// The frame without values that a dialect makes itself because another lacks them (the answer's id and time), and without the parts of the request that a
    /// response repeats.
    /// </summary>
    private static JsonNode Timeless(JsonNode frame)
    {
        foreach (var node in new[] { frame, frame["message"], frame["response"] }.OfType<JsonObject>())
        {
            foreach (var name in new[] { "created", "created_at", "completed_at" })
            {
                if (node[name] is not null) node[name] = 1;
            }

            if (node["id"] is not null) node["id"] = "x";
            if ((string?)node["object"] != "response") continue;
            foreach (var name in new[] { "instructions", "max_output_tokens", "reasoning", "temperature", "text", "tools", "top_logprobs", "top_p" })
            {
                node.Remove(name);
            }
        }

        return frame;
    }

    private static string Masked(RawReply reply, string model) =>
        reply.Text.Replace(reply.TraceId, Wire.Stamp.TraceId, StringComparison.Ordinal).Replace($"\"{model}\"", "\"tiny\"", StringComparison.Ordinal);

    private static void SameJson(JsonNode expected, JsonNode actual) =>
        Assert.True(JsonNode.DeepEquals(expected, actual), $"expected {expected.ToJsonString()}\ngot      {actual.ToJsonString()}");

    private static void Conforms(string client, bool stream, RawReply reply)
    {
        if (client == "anthropic") return; // it has no specification except its SDK
        if (client is "ollama" or "generate")
        {
            var specification = OpenApiSchema.Ollama;
            var name = client == "ollama" ? stream ? "ChatStreamEvent" : "ChatResponse" : stream ? "GenerateStreamEvent" : "GenerateResponse";
            Assert.All(reply.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries),
                line => specification.Valid(line.StartsWith("{\"error\"", StringComparison.Ordinal) ? "ErrorResponse" : name, line));
            return;
        }

        var schema = OpenApiSchema.OpenAi;
        if (reply.Status != 200) schema.Valid("ErrorResponse", reply.Text);
        else if (client == "responses" && stream) Assert.All(reply.Events, schema.ValidResponseEvent);
        else if (client == "responses") schema.Valid("Response", reply.Text);
        else if (!stream) schema.Valid(client == "openai" ? "CreateChatCompletionResponse" : "CreateCompletionResponse", reply.Text);
        else Assert.All(reply.Events.Where(data => data != "[DONE]"), Chunk);

        void Chunk(string data)
        {
            if (data.StartsWith("{\"error\"", StringComparison.Ordinal)) schema.Valid("ErrorResponse", data);
            else if (client == "openai") schema.Valid("CreateChatCompletionStreamResponse", data);
            // The specification has no schema for a chunk, in which these are null.
            else schema.Valid("CreateCompletionResponse", data.Replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"", StringComparison.Ordinal)
                .Replace(",\"usage\":null", "", StringComparison.Ordinal));
        }
    }

    private static IEnumerable<string> Rows(string situation, string client, string host, bool stream) =>
        Rows().Where(row => (row.Situation == situation || row.Situation == $"{situation}.{(stream ? "stream" : "once")}") && row.Client == client
            && row.Host == host).Select(row => row.Difference);

    /// <summary>A row has situations, pairs of client and host, and the differences that each of those cells must have.</summary>
    private static List<(string Situation, string Client, string Host, string Difference)> Rows()
    {
        var text = File.ReadAllText(Path.Combine(Wire.Root, "docs", "dialects.md"));
        var start = text.IndexOf(Heading, StringComparison.Ordinal);
        Assert.True(start >= 0, $"docs/dialects.md has no '{Heading}'");
        var table = text[start..];
        if (table.IndexOf("\n## ", StringComparison.Ordinal) is var next and > 0) table = table[..next];
        return
        [
            .. from line in table.Split('\n')
            let cells = line.Split('|', StringSplitOptions.TrimEntries)
            where cells.Length == 6 && cells[1].StartsWith('`')
            from situation in InCode().Matches(cells[1])
            from pair in InCode().Matches(cells[2])
            from difference in InCode().Matches(cells[3])
            let ends = pair.Groups[1].Value.Split(" → ")
            select (situation.Groups[1].Value, ends[0], ends[1], difference.Groups[1].Value),
        ];
    }

    private static string Read(string file) => File.ReadAllText(Path.Combine(Wire.Transcripts, file));

    /// <summary>To analyse a failure, or to fill a new file: MATRIX_SEEN names a file that gets a line for every cell.</summary>
    private static void Record(string situation, string client, string host, bool stream, FakeRequest? asked, RawReply reply, List<string> differences)
    {
        if (Environment.GetEnvironmentVariable("MATRIX_SEEN") is not { Length: > 0 } file) return;
        var seen = new JsonObject
        {
            ["situation"] = situation, ["client"] = client, ["host"] = host, ["stream"] = stream, ["path"] = asked?.Target, ["request"] = asked is null
                ? null : JsonNode.Parse(asked.Body),
            ["status"] = reply.Status, ["trace"] = reply.TraceId, ["reply"] = reply.Text,
            ["differences"] = new JsonArray([.. differences.Select(difference => JsonValue.Create(difference))]),
        };
        File.AppendAllText(file, seen.ToJsonString() + "\n");
    }

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex InCode();

    /// <summary>The boundary between two frames of a stream.</summary>
    [GeneratedRegex("(?<=\n\n)")]
    private static partial Regex Frames();
}
