using System.Globalization;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Hosts that limit the inputs or documents of one call: clients do not notice the limit.</summary>
public sealed class BatchLimitTests(BatchLimitTests.Door door) : IClassFixture<BatchLimitTests.Door>
{
    private const int Most = 3;

    public sealed class Door : FrontDoor
    {
        private int running;
        private int count;

        internal FakeBackend Embedder { get; private set; } = null!;
        internal FakeBackend Reranker { get; private set; } = null!;

        /// <summary>The most calls that the embedder had at the same time.</summary>
        internal int Peak { get; private set; }

        protected override string Sections()
        {
            (Embedder, Reranker) = (Host(), Host());
            Embedder.Pages.Clear();
            Embedder.Pages["/info"] = Info("embedder", """{"embedding":{"pooling":"mean"}}""");
            Embedder.Answer(EmbedAsync);
            Reranker.Pages.Clear();
            Reranker.Pages["/info"] = Info("reranker", """{"reranker":{"id2label":{"0":"LABEL_0"},"label2id":{"LABEL_0":0}}}""");
            Reranker.Answer(RerankAsync);
            return $"""
                [aliases]
                alias = "embedder"
                [[backends]]
                name = "embeds"
                url = "{Embedder.Url}"
                slots = 2
                [[backends]]
                name = "ranks"
                url = "{Reranker.Url}"
                """;
        }

        private static string Info(string name, string type) => $$"""
            {"model_id":"{{name}}","model_type":{{type}},"max_concurrent_requests":512,"max_input_length":256,"max_batch_tokens":1000,
             "max_client_batch_size":{{Most}},"version":"1.9.3"}
            """;

        /// <summary>The next part with a text "slow".</summary>
        internal TaskCompletionSource<FakeExchange> Slow { get; private set; } = new();

        internal Task<FakeExchange> NextSlowAsync()
        {
            Slow = new(TaskCreationOptions.RunContinuationsAsynchronously);
            return Patience.For(Slow.Task, "the slow part at the host");
        }

        /// <summary>
        /// The vector of a text is its number and 1. A text "bad" is refused, "late bad" once a slow one has arrived, and "slow" gets no answer.
        /// </summary>
        private async Task EmbedAsync(FakeExchange exchange)
        {
            var counted = Enter();
            try
            {
                var json = exchange.Request.Json;
                if (exchange.Request.Target == "/similarity")
                {
                    var sentences = json.GetProperty("inputs").GetProperty("sentences");
                    await exchange.JsonAsync(
                        sentences.GetArrayLength() + 1 > Most ? "{}" : $"[{string.Join(',', sentences.EnumerateArray().Select(text => text.GetString()))}]",
                        sentences.GetArrayLength() + 1 > Most ? 422 : 200);
                    return;
                }

                var inputs = json.TryGetProperty("inputs", out var asked) ? asked : json.GetProperty("input");
                var texts = inputs.ValueKind is JsonValueKind.Array ? inputs.EnumerateArray().ToArray() : [inputs];
                if (texts.Any(text => text.ToString() == "slow"))
                {
                    Slow.TrySetResult(exchange);
                    await exchange.StallAsync();
                }

                if (texts.Any(text => text.ToString() == "late bad")) await Slow.Task;
                await Task.Delay(20);
                Leave(ref counted); // the proxy may send the next part as soon as it has read the answer
                if (texts.Length > Most)
                {
                    await exchange.JsonAsync(
                        $$"""{"error":"batch size {{texts.Length}} > maximum allowed batch size {{Most}}","error_type":"Validation"}""", 422);
                }
                else if (texts.Any(text => text.ToString() is "bad" or "late bad"))
                {
                    await exchange.JsonAsync("""{"error":"`inputs` must have less than 256 tokens. Given: 300","error_type":"Validation"}""", 413);
                }
                else if (exchange.Request.Target == "/embed") await exchange.JsonAsync($"[{string.Join(',', texts.Select(text => $"[{text},1]"))}]");
                else if (exchange.Request.Target is "/embed_sparse" or "/predict" or "/tokenize")
                {
                    await exchange.JsonAsync($"[{string.Join(',', texts.Select(text => $"[{(text.ValueKind is JsonValueKind.Array ? text[0] : text)}]"))}]");
                }
                else if (exchange.Request.Target == "/embed_all")
                {
                    await exchange.JsonAsync($"[ {string.Join(',', texts.Select(text => $"[[{text},1],[0,1]]"))} ]");
                }
                else await exchange.JsonAsync("""{"object":"list","data":["""
                    + string.Join(',', texts.Select((text, i) => $$"""{"object":"embedding","index":{{i}},"embedding":[{{Number(text)}},1]}""").Reverse())
                    + $$$"""],"model":"embedder","usage":{"prompt_tokens":{{{texts.Length * 2}}}}}""");
            }
            finally
            {
                Leave(ref counted);
            }

            static string Number(JsonElement text) => text.ValueKind is JsonValueKind.Array ? text[0].GetRawText() : text.GetString()!;
        }

        /// <summary>Resets the count, so that calls of other tests that still wait here do not count.</summary>
        internal void CountAnew()
        {
            lock (this) (count, running, Peak) = (count + 1, 0, 0);
        }

        private int Enter()
        {
            lock (this)
            {
                Peak = Math.Max(Peak, ++running);
                return count;
            }
        }

        private void Leave(ref int counted)
        {
            lock (this)
            {
                if (counted == count) running--;
            }

            counted = -1;
        }

        /// <summary>A document's score is its number as a percentage.</summary>
        private static Task RerankAsync(FakeExchange exchange)
        {
            var texts = exchange.Request.Json.GetProperty("texts").EnumerateArray().Select(text => text.GetString()!).ToArray();
            if (texts.Length > Most)
            {
                return exchange.JsonAsync($$"""{"error":"batch size {{texts.Length}} > maximum allowed batch size {{Most}}","error_type":"Validation"}""", 422);
            }

            var scored = texts.Select((text, index) => (Index: index, Score: double.Parse(text, CultureInfo.InvariantCulture) / 100))
                .OrderByDescending(result => result.Score);
            var results = scored.Select(result => string.Create(CultureInfo.InvariantCulture, $$"""{"index":{{result.Index}},"score":{{result.Score}}}"""));
            return exchange.JsonAsync($"[{string.Join(',', results)}]");
        }
    }

    [Theory]
    [InlineData("embedder")]
    [InlineData("alias")]
    public async Task OpenAi_client_sends_more_than_the_host_takes_Vectors_come_in_order_and_usage_is_summed(string model)
    {
        await KnownAsync();
        door.CountAnew();

        var (reply, line) = await door.CallAsync("/v1/embeddings", $$"""{"model":"{{model}}","input":[{{Texts(11)}}]}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Enumerable.Range(0, 11).Select(i => (i, (double)i)), reply.Json.GetProperty("data").EnumerateArray()
            .Select(entry => (entry.GetProperty("index").GetInt32(), entry.GetProperty("embedding")[0].GetDouble())));
        Assert.Equal(22, reply.Json.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(model, reply.Json.GetProperty("model").GetString());
        Assert.Equal("ok none 200 22 embeds", $"{line.Verdict} {line["tokens_in"]} {line.Backend}");
        Assert.InRange(door.Peak, 1, 2); // the host's slots
    }

    [Fact]
    public async Task TEI_client_sends_more_than_the_host_takes_Vectors_come_in_order()
    {
        await KnownAsync();

        var reply = await door.PostAsync("/embed", $$"""{"inputs":[{{Texts(8)}}],"normalize":false}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Enumerable.Range(0, 8).Select(i => (double)i), reply.Json.EnumerateArray().Select(vector => vector[0].GetDouble()));
    }

    [Fact]
    public async Task TEI_client_wants_every_tokens_vector_Lists_are_joined()
    {
        await KnownAsync();

        var reply = await door.PostAsync("/embed_all", $$"""{"inputs":[{{Texts(7)}}]}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Enumerable.Range(0, 7).Select(i => (double)i), reply.Json.EnumerateArray().Select(matrix => matrix[0][0].GetDouble()));
    }

    [Theory]
    [InlineData("/embed_sparse", """{"truncate":true,"inputs":["0","1","2","3","4"]}""")]
    [InlineData("/tokenize", """{"inputs":["0","1","2","3","4"],"add_special_tokens":false}""")]
    [InlineData("/predict", """{"inputs":[["0"],["1"],["2"],["3"],["4"]]}""")]
    [InlineData("/similarity", """{"inputs":{"source_sentence":"x","sentences":["0","1","2","3","4"]}}""")]
    public async Task TEI_client_asks_for_something_else_Lists_are_joined(string path, string body)
    {
        await KnownAsync();

        var reply = await door.PostAsync(path, body.Replace("{\"", "{\"model\":\"embedder\",\"", StringComparison.Ordinal)
            .Replace("\"inputs\":{\"model\":\"embedder\",", "\"inputs\":{", StringComparison.Ordinal));

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(["0", "1", "2", "3", "4"], reply.Json.EnumerateArray()
            .Select(element => element.ValueKind is JsonValueKind.Array ? element[0].ToString() : element.ToString()));
    }

    [Fact]
    public async Task Ollama_client_sends_more_than_the_host_takes_Vectors_come_in_order()
    {
        await KnownAsync();

        var reply = await door.PostAsync("/api/embed", $$"""{"model":"embedder","input":[{{Texts(7)}}]}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Enumerable.Range(0, 7).Select(i => (double)i), reply.Json.GetProperty("embeddings").EnumerateArray()
            .Select(vector => vector[0].GetDouble()));
    }

    [Fact]
    public async Task Token_ids_are_more_than_a_batch_of_the_host_holds_They_are_cut_by_their_number()
    {
        await KnownAsync();
        var before = door.Embedder.Calls.Count;
        var long_ = string.Join(',', Enumerable.Repeat(5, 600));

        var reply = await door.PostAsync("/v1/embeddings", $$"""{"model":"embedder","input":[[{{long_}}],[{{long_}}]]}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(2, door.Embedder.Calls.Count - before);
    }

    [Fact]
    public async Task As_many_as_the_host_takes_The_clients_bytes_are_sent()
    {
        await KnownAsync();
        var body = $$"""{ "model":"embedder","input":[{{Texts(3)}}] }""";

        var reply = await door.PostAsync("/v1/embeddings", body);

        Assert.Equal(200, reply.Status);
        Assert.Contains(door.Embedder.Calls, call => call.Text == body);
    }

    [Theory]
    [InlineData("/v1/embeddings", """{"model":"embedder","input":["0","1","2","3","bad","5","6","7","8","9"]}""")]
    [InlineData("/embed", """{"inputs":["0","1","2","3","bad","5","6","7","8","9"]}""")]
    public async Task One_part_is_refused_So_is_the_call(string path, string body)
    {
        await KnownAsync();

        var (reply, line) = await door.CallAsync(path, body);

        Assert.Equal(413, reply.Status);
        Assert.Contains("less than 256 tokens", reply.Text, StringComparison.Ordinal);
        Assert.Equal("refused client 413", line.Verdict);
    }

    [Fact]
    public async Task One_part_is_refused_The_others_are_ended()
    {
        await KnownAsync();
        var slow = door.NextSlowAsync();

        var reply = await door.PostAsync("/v1/embeddings", """{"model":"embedder","input":["slow","1","2","3","late bad","5"]}""");

        Assert.Equal(413, reply.Status);
        await Patience.For((await slow).Gone, "the slow part's end");
    }

    [Fact]
    public async Task Client_leaves_All_parts_are_ended()
    {
        await KnownAsync();
        var slow = door.NextSlowAsync();
        var correlation = FrontDoor.Correlation();
        await using (var client = await RawClient.ConnectAsync(door.Address))
        {
            await client.RequestAsync("POST", "/v1/embeddings",
                System.Text.Encoding.UTF8.GetBytes("""{"model":"embedder","input":["slow","1","2","3","4","5"]}"""), $"x-correlation-id: {correlation}");
            await slow;
        }

        await Patience.For((await slow).Gone, "the slow part's end");
        Assert.Equal("client_left client 499", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
    }

    [Theory]
    [InlineData("/rerank", "texts", null)]
    [InlineData("/v1/rerank", "documents", 3)]
    public async Task Documents_are_more_than_the_host_takes_Indexes_are_the_clients(string path, string member, int? top)
    {
        await KnownAsync();
        int[] scores = [15, 90, 3, 44, 71, 8, 66, 29];

        var reply = await door.PostAsync(path, $$"""{"model":"reranker","query":"q","{{member}}":"""
            + $$"""[{{string.Join(',', scores.Select(score => $"\"{score}\""))}}]{{(top is null ? "" : $",\"top_n\":{top}")}}}""");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        var (results, score) = top is null ? (reply.Json, "score") : (reply.Json.GetProperty("results"), "relevance_score");
        var expected = scores.Select((value, index) => (index, value)).OrderByDescending(result => result.value).Take(top ?? scores.Length);
        Assert.Equal(expected, results.EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), (int)Math.Round(result.GetProperty(score).GetDouble() * 100))));
    }

    private static string Texts(int count) => string.Join(',', Enumerable.Range(0, count).Select(i => $"\"{i}\""));

    private Task KnownAsync() => Patience.Until(
        async () => (await door.GetAsync("/v1/models")).Text is var listed
            && listed.Contains("embedder", StringComparison.Ordinal) && listed.Contains("reranker", StringComparison.Ordinal),
        "the hosts were probed");
}
