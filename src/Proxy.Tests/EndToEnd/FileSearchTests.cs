using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Responses calls with OpenAI's tool <c>file_search</c>.</summary>
public sealed class FileSearchTests(RagHouse house) : IClassFixture<RagHouse>
{
    private const string Cited = "It holds [2] a while 😀 [1, 2]. See [9] and [x].";

    [Theory]
    [InlineData("responses")]
    [InlineData("openai")]
    [InlineData("ollama")]
    public async Task Stream_has_the_search_before_the_message_in_OpenAIs_order(string host)
    {
        var (reply, line) = await house.AskAsync("/v1/responses", Body(host, stream: true));

        Assert.True(reply.Status == 200, reply.Text);
        var events = reply.Events.Select(data => JsonElement.Parse(data)).ToList();
        Assert.Equal(
            [
                "response.created", "response.in_progress", "response.output_item.added", "response.file_search_call.in_progress",
                "response.file_search_call.searching", "response.file_search_call.completed", "response.output_item.done", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.annotation.added", "response.output_text.annotation.added",
                "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
            ],
            events.Select(TypeOf).Where((type, at) => at == 0 || type != "response.output_text.delta" || TypeOf(events[at - 1]) != type));
        Assert.Equal(Enumerable.Range(0, events.Count), events.Select(one => one.GetProperty("sequence_number").GetInt32()));
        var added = events.First(one => TypeOf(one) == "response.output_item.added").GetProperty("item");
        Assert.Equal("file_search_call in_progress []", $"{added.GetProperty("type")} {added.GetProperty("status")} {added.GetProperty("queries")}");
        Assert.All(events.Where(one => TypeOf(one).StartsWith("response.file_search_call", StringComparison.Ordinal)), one =>
            Assert.Equal((added.GetProperty("id").GetString(), 0), (one.GetProperty("item_id").GetString(), one.GetProperty("output_index").GetInt32())));
        var response = events[^1].GetProperty("response");
        SameOutput(response.GetProperty("output"), added.GetProperty("id").GetString()!, null);
        Assert.Equal($"{RagHouse.Id("docs")},{RagHouse.Id("wiki")} rag", $"{line["workspace"]} {line["route"]}");
    }

    [Fact]
    public async Task Whole_response_has_the_search_and_the_results_that_are_asked_for()
    {
        var (reply, _) = await house.AskAsync("/v1/responses", Body("responses", stream: false, ""","include":["file_search_call.results"]"""));

        var output = reply.Json.GetProperty("output");
        SameOutput(output, output[0].GetProperty("id").GetString()!, """
            [{"attributes":{"team":"ops"},"file_id":"file-guide","filename":"guide.md","score":0.8,"text":"The queue holds for 3 min."},
            {"attributes":{"team":"ops"},"file_id":"file-händbook","filename":"händbook.pdf","score":0.41,"text":"Handbücher sind grün."}]
            """);
        Assert.Equal("file_search", reply.Json.GetProperty("tools")[0].GetProperty("type").GetString()); // as the client sent it
    }

    [Fact]
    public async Task Model_cites_by_numbers_Annotations_stand_at_the_marks()
    {
        house.Host("openai").Once(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream(Cited[..12], Cited[12..])));

        var (reply, _) = await house.AskAsync("/v1/responses", Body("openai", stream: true));

        var message = JsonElement.Parse(reply.Events[^1]).GetProperty("response").GetProperty("output")[1];
        var annotations = message.GetProperty("content")[0].GetProperty("annotations");
        Assert.Equal(
            ["file-händbook 9", "file-guide 23", "file-händbook 23"],
            annotations.EnumerateArray().Select(one => $"{one.GetProperty("file_id")} {one.GetProperty("index")}"));
        Assert.All(annotations.EnumerateArray(), one => Assert.Equal("file_citation", one.GetProperty("type").GetString()));
        Assert.Equal(3, reply.Events.Count(data => data.Contains("annotation.added", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Host_of_the_same_dialect_gets_the_clients_bytes_without_the_tool_and_earlier_results()
    {
        const string Sent = """
            {"model":"responses-tiny", "x":1.50,"tools":[{"type":"function","name":"look","parameters":{"a":1.0}},
              {"type":"file_search","vector_store_ids":["vs_docs"]}, {"type":"x","y":[ ]}],"tool_choice":{"type":"file_search"},
              "input":[ {"id":"fs_1","type":"file_search_call","status":"completed","queries":["a"],"results":null}, {"role":"user","content":"first question"},
              {"type":"file_search_call","id":"fs_2","status":"completed","queries":[]},{"role":"assistant","content":"said"},
              {"role":"user","content":"What is in the second question?"} , {"type":"file_search_call","id":"fs_3","status":"completed","queries":[]} ]}
            """;
        const string Expected = """
            {"model":"responses-tiny", "x":1.50,"tools":[{"type":"function","name":"look","parameters":{"a":1.0}},{"type":"x","y":[ ]}],"tool_choice":"auto",
              "input":[ {"role":"user","content":"first question"},
              {"role":"assistant","content":"said"},
              {"role":"user","content":"What is in the second question?"} ]}
            """;

        var (reply, _) = await house.AskAsync("/v1/responses", Sent);

        Assert.True(reply.Status == 200, reply.Text);
        var asked = house.Asked("responses", reply).Text;
        var place = Expected.IndexOf("What is in", StringComparison.Ordinal);
        Assert.Equal(Expected, asked.Remove(place, asked.Length - Expected.Length));
    }

    [Theory]
    [InlineData("\"required\"", "\"auto\"")]
    [InlineData("\"auto\"", "\"auto\"")]
    [InlineData("""{"type":"allowed_tools","mode":"required","tools":[{"type":"file_search"}]}""", "\"auto\"")]
    public async Task Tool_was_the_only_one_Host_is_not_told_to_use_a_tool(string choice, string expected)
    {
        var (reply, _) = await house.AskAsync("/v1/responses", Body("responses", false, $",\"tool_choice\":{choice}"));

        var asked = house.Asked("responses", reply).Json;
        Assert.Equal(("[]", expected), (asked.GetProperty("tools").GetRawText(), asked.GetProperty("tool_choice").GetRawText()));
    }

    [Fact]
    public async Task Tools_are_forbidden_Nothing_is_searched_and_the_host_does_not_get_the_tool()
    {
        var (reply, _) = await house.AskAsync("/v1/responses", """
            {"model":"responses-tiny","input":"Who forbids the tools here?","tool_choice":"none","tools":[{"type":"file_search","vector_store_ids":["vs_docs"]}]}
            """);

        Assert.Empty(house.Search.Of("forbids the tools"));
        Assert.Equal("[]", house.Asked("responses", reply).Json.GetProperty("tools").GetRawText());
        Assert.DoesNotContain("passage", house.Asked("responses", reply).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tool_says_how_to_search_Headers_take_precedence()
    {
        const string More = ""","max_num_results":3,"ranking_options":{"ranker":"none","score_threshold":0.5,"hybrid_search":{"embedding_weight":0.1,"text_weight":0.9}}""";
        await house.AskAsync("/v1/responses", Tool("Which options does the tool have?", More));
        await house.AskAsync("/v1/responses", Tool("Which options does the tool have?", More), "x-rag-top-k: 2", "x-rag-rerank: on", "x-workspace: wiki");

        var searches = house.Search.Of("options does the tool");
        Assert.Equal([(3, 0.5, false, 0.9, 0.1), (2, 0.5, true, 0.9, 0.1)], searches.Select(one =>
            (one.Request.Most, one.Request.Threshold!.Value, one.Request.Rerank!.Value, one.Request.LexicalWeight, one.Request.DenseWeight)));
        Assert.Equal(["docs", "wiki,docs"], searches.Select(one => string.Join(',', one.Workspaces.Select(place => place.Name))));
    }

    [Theory]
    [InlineData(""","max_num_results":51""", "tools[0].max_num_results")]
    [InlineData(""","max_num_results":"3" """, "tools[0].max_num_results")]
    [InlineData(""","filters":[]""", "tools[0].filters")]
    [InlineData(""","filters":{"type":"near","key":"a","value":1}""", "tools[0].filters")]
    [InlineData(""","ranking_options":{"score_threshold":7}""", "tools[0].ranking_options.score_threshold")]
    [InlineData(""","ranking_options":{"hybrid_search":{"embedding_weight":0,"text_weight":0}}""", "tools[0].ranking_options.hybrid_search")]
    public async Task Tool_is_wrong_Refused_by_its_place(string more, string param)
    {
        var (reply, _) = await house.AskAsync("/v1/responses", Tool("What is wrong with it?", more));

        Assert.True(reply.Status == 400, reply.Text);
        Assert.Equal(param, reply.Json.GetProperty("error").GetProperty("param").GetString());
        Assert.Equal(0, house.Calls("responses", reply));
    }

    [Theory]
    [InlineData("[]", 400)]
    [InlineData("[1]", 400)]
    [InlineData("[\"vs_nowhere\"]", 404)]
    public async Task Store_is_unknown_No_host_is_called(string stores, int status)
    {
        var (reply, _) = await house.AskAsync(
            "/v1/responses", """{"model":"responses-tiny","input":"a question","tools":[{"type":"file_search","vector_store_ids":STORES}]}"""
                .Replace("STORES", stores, StringComparison.Ordinal));

        Assert.True(reply.Status == status, reply.Text);
        Assert.Equal("tools[0].vector_store_ids", reply.Json.GetProperty("error").GetProperty("param").GetString());
        Assert.Equal(0, house.Calls("responses", reply));
    }

    [Theory]
    [InlineData("""{"model":"responses-tiny","input":"hi","tools":[{"type":"function","name":"file_search","parameters":{}}]}""", null)]
    [InlineData("""{"model":"responses-tiny","input":"\"file_search\""}""", null)]
    [InlineData("""{"model":"responses-tiny","input":"hi","tools":[{"type":"file_search","vector_store_ids":["vs_at_the_host"]}]}""", "x-route: direct")]
    public async Task Call_asks_for_no_search_or_for_the_hosts_own_Host_gets_its_bytes(string body, string? header)
    {
        var (reply, line) = await house.AskAsync("/v1/responses", body, header is null ? [] : [header]);

        Assert.Equal((body, "direct"), (house.Asked("responses", reply).Text, line["route"]));
    }

    [Fact]
    public async Task Response_is_kept_and_continued_Items_are_there_and_earlier_turns_have_no_passages()
    {
        var (first, _) = await house.AskAsync("/v1/responses", Body("openai", false, ",\"store\":true"));
        var id = first.Json.GetProperty("id").GetString();

        var kept = await RawClient.SendAsync(house.Proxy.Address, "GET", $"/v1/responses/{id}", null);
        var (second, _) = await house.AskAsync("/v1/responses", $$"""
            {"model":"responses-tiny","previous_response_id":"{{id}}","input":"And what about the second one then?","tools":[{"type":"file_search","vector_store_ids":["vs_docs"]}]}
            """);
        var (third, _) = await house.AskAsync("/v1/responses", $$"""{"model":"responses-tiny","previous_response_id":"{{id}}","input":"And without documents?"}""");

        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(first.Text)!["output"], JsonNode.Parse(kept.Text)!["output"]), kept.Text);
        foreach (var reply in new[] { second, third })
        {
            Assert.True(reply.Status == 200, reply.Text);
            var input = house.Asked("responses", reply).Json.GetProperty("input");
            Assert.Equal(3, input.GetArrayLength()); // no file_search_call
            Assert.DoesNotContain("<passage", input[0].GetRawText(), StringComparison.Ordinal);
            Assert.Equal(reply == second, input[2].GetRawText().Contains("<passage", StringComparison.Ordinal));
        }
    }

    private static string Body(string host, bool stream, string more = "") => $$$"""
        {"model":"{{{host}}}-tiny","input":"Why does the queue hold for long?","stream":{{{(stream ? "true" : "false")}}},
        "tools":[{"type":"file_search","vector_store_ids":["vs_docs","vs_wiki"]}]{{{more}}}}
        """;

    private static string Tool(string question, string more) =>
        $$$"""{"model":"responses-tiny","input":"{{{question}}}","tools":[{"type":"file_search","vector_store_ids":["vs_docs"]{{{more}}}}]}""";

    private static string TypeOf(JsonElement happened) => happened.GetProperty("type").GetString()!;

    private static void SameOutput(JsonElement output, string id, string? results)
    {
        var search = $$"""{"id":"{{id}}","type":"file_search_call","status":"completed","queries":["Why does the queue hold for long?"],"results":RESULTS}"""
            .Replace("RESULTS", results ?? "null", StringComparison.Ordinal);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(search), JsonNode.Parse(output[0].GetRawText())), output[0].GetRawText());
        var text = output[1].GetProperty("content")[0];
        var end = text.GetProperty("text").GetString()!.Length;
        // the model marked nothing: every file is cited once at the end
        Assert.Equal(
            """[{"type":"file_citation","file_id":"file-guide","filename":"guide.md","index":END},{"type":"file_citation","file_id":"file-händbook","filename":"händbook.pdf","index":END}]"""
                .Replace("END", $"{end}", StringComparison.Ordinal),
            text.GetProperty("annotations").GetRawText());
    }
}
