using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.Events;
using Proxy.Dialects.Rerank;
using Proxy.Http;
using Proxy.Http.Knowledge;
using Proxy.Inference.Tokenizing;
using Proxy.Tests.Dialects;
using Proxy.Tests.Rules;
using Proxy.Workflows;

namespace Proxy.Tests.Fuzz;

/// <summary>Forms, the configuration, tokenizers' files and texts, jobs' events, and requests for vectors and scores.</summary>
internal static class OtherTargets
{
    private const string FormType = "multipart/form-data; boundary=line";

    private static readonly string[] Texts = 
    [
        "", "Héllo wörld", "a b  c\n\n12345 don't", "日本語 😀 e\u0301", "<|endoftext|> [CLS] </s> \u0000 \ud83d", new('x', 300),
    ];

    public static IEnumerable<FuzzTarget> All =>
    [
        new("form", [.. Forms.Select(Encoding.UTF8.GetBytes)], CheckForm),
        new("config", Configs(), CheckConfig),
        new("tokenizer-file", [Small("tiny-bpe-embed", 300), Small("tiny-unigram-embed", 60), Small("tiny-wordpiece-rerank", 60)], CheckTokenizerFile),
        new("tokenizer-text", [.. Texts.Select(Encoding.UTF8.GetBytes)], CheckText),
        new("event", Events(), CheckEvent),
        new("embeddings", [.. Embeddings.Select(Encoding.UTF8.GetBytes)], CheckEmbeddings),
        new("rerank", [.. Rankings.Select(Encoding.UTF8.GetBytes)], CheckRankings),
    ];

    // ---- forms ----

    private static readonly string[] Forms =
    [
        "--line\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--line\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--lin\r\n\0\r\n--line--\r\n",
        "preamble\r\n--line  \r\ncontent-disposition: form-data; name=purpose\r\n\r\nassistants\r\n--line\r\nX-Other: 1\r\n"
            + "Content-Disposition: form-data; name=\"model\"; x=\"y\"\r\n\r\n\r\n--line--\r\nepilogue",
    ];

    /// <summary>The model that authorises a call is the one field of that name that a reader of forms finds. A form means the same however it is cut.</summary>
    private static void CheckForm(byte[] body)
    {
        var whole = Parts(body, body.Length);
        Assert.Equal(whole, Parts(body, 1));
        Assert.Equal(whole, Parts(body, 7));
        if (MultipartModel.Find(body, FormType) is not var (model, slice)) return;
        Assert.Equal(model, Encoding.UTF8.GetString(body[slice]));
        if (whole.Exists(static part => part.StartsWith("refused", StringComparison.Ordinal))) return;
        var field = Assert.Single(whole, static part => part.StartsWith("model\n", StringComparison.Ordinal));
        Assert.Equal($"model\n\n{model}", field);
    }

    private static List<string> Parts(byte[] body, int piece)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0, readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline));
        var parts = new List<string>();
        using var reader = new MultipartReader(pipe.Reader, "line", long.MaxValue);
        var reading = ReadAsync();
        for (var at = 0; at < body.Length && !reading.IsCompleted; at += piece)
            pipe.Writer.WriteAsync(body.AsMemory(at, Math.Min(piece, body.Length - at))).AsTask().GetAwaiter().GetResult();
        pipe.Writer.Complete();
        reading.GetAwaiter().GetResult();
        return parts;

        async Task ReadAsync()
        {
            try
            {
                while (await reader.NextAsync(default) is { } part)
                {
                    var content = new MemoryStream();
                    while (await reader.ReadAsync(default) is { IsEmpty: false } read) content.Write(read.Span);
                    parts.Add($"{part.Name}\n{part.FileName}\n{Encoding.UTF8.GetString(content.ToArray())}");
                }
            }
            catch (FormException problem)
            {
                Assert.NotEmpty(problem.Message);
                parts.Add($"refused: {problem.Message}");
            }
        }
    }

    // ---- the configuration ----

    private static List<byte[]> Configs()
    {
        var example = Repository.Read("config.example.toml");
        // Every setting of the example, those that are comments there too.
        var all = string.Join('\n', example.Split('\n').Select(static line =>
            line.StartsWith("# ", StringComparison.Ordinal)
                && (line.Contains(" = ", StringComparison.Ordinal) || line.StartsWith("# [", StringComparison.Ordinal))
                ? line[2..] : line));
        var sections = all.Split("\n[").Select(static (section, i) => Encoding.UTF8.GetBytes(i == 0 ? section : "[" + section)).ToList();
        return [Encoding.UTF8.GetBytes(example), .. sections, .. sections.Zip(sections.Skip(1), static (one, two) => (byte[])[.. one, (byte)'\n', .. two])];
    }

    /// <summary>Every problem names a line of the file; a file without problems has none after a comment is put in front of it, and all lines move.</summary>
    private static void CheckConfig(byte[] file)
    {
        var toml = Encoding.UTF8.GetString(file);
        var sources = new ConfigSources
        {
            Environment = static _ => null, ReadText = static _ => throw new IOException("no file"), HasFolder = static _ => false,
            ModelProblem = static _ => null,
        };
        var problems = ConfigReader.Read(toml, sources).Problems;
        var lines = toml.Split('\n').Length;
        Assert.All(problems, problem =>
        {
            Assert.InRange(problem.Line, 0, lines + 1);
            Assert.NotEmpty(problem.Message);
            Assert.DoesNotContain("Exception", problem.Message, StringComparison.Ordinal);
        });
        var moved = ConfigReader.Read("# a comment\n" + toml, sources).Problems;
        // The TOML reader says of a file that ends too early now its last line, now the one before.
        Assert.Equal(problems.Select(static problem => (problem.Key, Line: problem.Line == 0 || problem.Key == "" ? 0 : problem.Line + 1)),
            moved.Select(static problem => (problem.Key, problem.Key == "" ? 0 : problem.Line)));
    }

    // ---- tokenizers ----

    private static byte[] Small(string model, int most)
    {
        var file = JsonNode.Parse(Repository.Read($"src/Proxy.Tests/Models/{model}/tokenizer.json"))!;
        var vocabulary = file["model"]!["vocab"]!;
        file["model"]!["vocab"] = vocabulary is JsonArray list
            ? new JsonArray([.. list.Take(most).Select(static one => one!.DeepClone())])
            : new JsonObject(vocabulary.AsObject().OrderBy(static pair => (int)pair.Value!).Take(most)
                .Select(static pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value!.DeepClone())));
        if (file["model"]!["merges"] is JsonArray merges) file["model"]!["merges"] = new JsonArray([.. merges.Take(20).Select(static one => one!.DeepClone())]);
        return Encoding.UTF8.GetBytes(file.ToJsonString());
    }

    private static void CheckTokenizerFile(byte[] file)
    {
        Tokenizer tokenizer;
        try
        {
            tokenizer = TokenizerFile.Parse(file);
        }
        catch (TokenizerException refused)
        {
            Assert.NotEmpty(refused.Message);
            return;
        }

        foreach (var text in Texts) CheckTokens(tokenizer, text);
    }

    private static readonly Lazy<Tokenizer[]> Tokenizers = new(static () =>
    [
        .. new[] { "tiny-bpe-embed", "tiny-unigram-embed", "tiny-wordpiece-colbert" }.Select(static model =>
            TokenizerFile.Load(Path.Combine(Repository.Root, $"src/Proxy.Tests/Models/{model}/tokenizer.json"))),
    ]);

    private static void CheckText(byte[] text)
    {
        foreach (var tokenizer in Tokenizers.Value) CheckTokens(tokenizer, Encoding.UTF8.GetString(text));
    }

    /// <summary>Counting counts what encoding makes, tokens are places of the text in order, and a shorter limit gives the first of them.</summary>
    private static void CheckTokens(Tokenizer tokenizer, string text)
    {
        var tokens = new TokenList();
        var options = new EncodeOptions { Offsets = true, SpecialTokens = false };
        tokenizer.Encode(text, options, tokens);
        Assert.Equal(tokenizer.CountTokens(text, specialTokens: false), tokens.Count);
        var length = Encoding.UTF8.GetByteCount(text);
        var last = 0;
        for (var i = 0; i < tokens.Count; i++)
        {
            var (start, stop) = tokens.Offsets[i];
            Assert.InRange(start, last, length);
            Assert.InRange(stop, start, length);
            last = start;
        }

        var all = tokens.Ids.ToArray();
        tokenizer.Decode(all);
        if (all.Length < 2) return;
        tokenizer.Encode(text, options with { MaxLength = all.Length / 2 }, tokens);
        Assert.Equal(all[..(all.Length / 2)], tokens.Ids.ToArray());
        Assert.Equal(all.Length, tokens.FullLength);
    }

    // ---- events of jobs ----

    private static List<byte[]> Events() =>
    [
        .. Wire.Scenarios.SelectMany(static folder => File.ReadAllLines(Path.Combine(folder, "events.jsonl"))).Distinct().Select(Encoding.UTF8.GetBytes),
        "{\"type\":\"artifact\",\"key\":\"a\",\"media_type\":\"text/plain\",\"value\":{\"x\":[1]},\"seq\":4,\"attempt\":2}"u8.ToArray(),
        "{\"type\":\"sources\",\"sources\":[{\"title\":\"t\",\"url\":\"u\"}],\"seq\":1}"u8.ToArray(),
    ];

    /// <summary>The reader of a job's line and that of a stream of events read a line alike.</summary>
    private static void CheckEvent(byte[] line)
    {
        if (line.AsSpan().IndexOf((byte)'\n') >= 0 || line.AsSpan().Trim(" \t\r\n"u8).IsEmpty) return;
        var events = new List<ChatEvent>();
        new EventSchemaReader().Read(line, events);
        try
        {
            var read = JobEvent.Read("01JTESTTRACE0000000000000A", line, out _);
            Assert.Equal(read.Happened is { } happened ? Wire.Lines([happened]) : "", Wire.Lines(events));
        }
        catch (JsonException)
        {
            Assert.True(events is [] or [ChatEvent.Finished { Error: not null }]); // none: an artifact is no event of an answer
        }
    }

    // ---- vectors and scores ----

    private static readonly string[] Embeddings =
    [
        """{"model":"m","input":"text","encoding_format":"base64","dimensions":64,"user":"u"}""", """{"model":"m","input":["a","é",""]}""",
        """{"model":"m","input":[[1,2,3],[4]]}""", """{"model":"m","input":[1,2,3],"truncate":false,"options":{"num_ctx":8},"keep_alive":"5m"}""",
        """{"inputs":["a","b"],"truncate":true,"normalize":false,"prompt_name":"query","truncation_direction":"Left"}""", """{"model":"m","prompt":"a text"}""",
    ];

    private static readonly string[] Rankings =
    [
        """{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"return_documents":true,"max_chunks_per_doc":3}""",
        """{"query":"q","texts":["a","b"],"raw_scores":true,"return_text":true,"truncate":true}""", """{"model":"m","text_1":"q","text_2":["a","b"]}""",
    ];

    private static readonly EmbeddingClientDialect[] EmbeddingClients =
    [
        new OpenAiEmbeddingsClientDialect(), new OllamaEmbedClientDialect(older: false), new OllamaEmbedClientDialect(older: true),
        new TeiEmbedClientDialect(tokenByToken: false), new TeiEmbedClientDialect(tokenByToken: true),
    ];

    private static readonly EmbeddingBackendDialect[] EmbeddingHosts = [new OpenAiEmbeddingsBackendDialect(), new OllamaEmbedBackendDialect()];

    private static readonly RerankClientDialect[] RankingClients =
    [
        .. Enum.GetValues<RerankFlavour>().Select(static flavour => new JinaRerankClientDialect(flavour)),
        new TeiRerankClientDialect(), new ScoreClientDialect(),
    ];

    /// <summary>What is written for a host of the client's own dialect asks for the same inputs.</summary>
    private static void CheckEmbeddings(byte[] body)
    {
        if (EnvelopePeek.Read(body, out _, modelOptional: true) is not null) return;
        foreach (var client in EmbeddingClients)
        {
            if (client.Read(body, out var call) is { } error)
            {
                CheckRefusal(client, error);
                continue;
            }

            foreach (var host in EmbeddingHosts)
            {
                if (host.Unsayable(call!) is not null || call!.Request.Inputs.Count == 0) continue;
                using var output = new PooledBody();
                host.WriteRequest(call, "served", output, []);
                var own = host is OllamaEmbedBackendDialect ? EmbeddingClients[1] : EmbeddingClients[0];
                var again = own.Read(output.Span, out var read);
                Assert.True(again is null, $"{host.Path} does not read what it wrote: {again?.Message}\n{Encoding.UTF8.GetString(output.Span)}");
                Assert.Equal(Inputs(call.Request.Inputs), Inputs(read!.Request.Inputs));
            }
        }
    }

    private static void CheckRankings(byte[] body)
    {
        if (EnvelopePeek.Read(body, out _, modelOptional: true) is not null) return;
        foreach (var client in RankingClients)
        {
            if (client.Read(body, out var call) is { } error) CheckRefusal(client, error);
            else Assert.All(call!.Requests, static request => Assert.NotNull(request.Query));
        }
    }

    private static IEnumerable<string> Inputs(IReadOnlyList<Proxy.Vectors.EmbedInput> inputs) =>
        inputs.Select(static input => input.Text ?? string.Join(',', input.TokenIds!));

    private static void CheckRefusal(ErrorDialect client, ProxyError error)
    {
        Assert.NotEmpty(error.Message);
        Assert.InRange(client.StatusOf(error), 400, 499);
    }
}
