using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Chat;

/// <summary>Checks the digest of requests: equal for equal meaning in every dialect and spelling, different for everything that shapes the answer.</summary>
public sealed class RequestDigestTests
{
    private const string Openai = "openai", Ollama = "ollama", Generate = "generate", Anthropic = "anthropic", Responses = "responses",
        Completions = "completions";

    private const string Schema = """{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","maximum":1e2}}}""";

    private const string Chat = """
        {"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Zürich é \u0001 \"quoted\" 😀"}],
         "temperature":0.5,"seed":7,"max_tokens":64,"stop":["END"],"tool_choice":"required",
         "tools":[{"type":"function","function":{"name":"weather","description":"The weather","parameters":{"b":[1.50,true,null],"a":1E2}}}],
         "mirostat":2,"stream":true,"user":"u"}
        """;

    /// <summary>Requests of one meaning each, in the dialects that can say it.</summary>
    private static readonly (string Dialect, string Body)[][] Meanings =
    [
        [
            (Openai, """{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}],"max_tokens":9,"temperature":0.5,"top_p":1}"""),
            (Openai, """{"max_completion_tokens":9,"top_p":1.0,"model":"m","temperature":5e-1,"messages":[{"content":"Be brief.","role":"system"},{"content":[{"type":"text","text":"Why?"}],"role":"user"}],"stream":true,"stream_options":{"include_usage":true},"n":1,"user":"me","metadata":{"a":"b"},"store":true,"logprobs":false,"tools":null}"""),
            (Ollama, """{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}],"options":{"num_predict":9,"temperature":0.50,"top_p":1},"keep_alive":"5m"}"""),
            (Generate, """{"model":"m","system":"Be brief.","prompt":"Why?","options":{"num_predict":9,"temperature":0.5,"top_p":1},"stream":false}"""),
            (Anthropic, """{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Why?"}],"temperature":0.5,"top_p":1,"metadata":{"user_id":"x"}}"""),
            (Anthropic, """{"model":"m","max_tokens":9,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"Why?"}]}],"temperature":0.5,"top_p":1}"""),
            (Responses, """{"model":"m","instructions":"Be brief.","input":"Why?","max_output_tokens":9,"temperature":0.5,"top_p":1,"store":false,"prompt_cache_key":"k"}"""),
            (Responses, """{"model":"m","input":[{"role":"developer","content":"Be brief."},{"type":"message","role":"user","content":[{"type":"input_text","text":"Why?"}]}],"max_output_tokens":9,"temperature":0.5,"top_p":1}"""),
        ],
        [
            (Openai, """{"model":"m","messages":[{"role":"user","content":"Go"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"weather","arguments":"{\"days\":1.0, \"city\":\"Zürich\"}"}},{"id":"call_b","type":"function","function":{"name":"time","arguments":""}}]},{"role":"tool","tool_call_id":"call_a","content":"sunny"},{"role":"tool","tool_call_id":"call_b","content":"noon"}],"max_tokens":9,"tool_choice":"auto","tools":[{"type":"function","function":{"name":"weather","description":"d","parameters":SCHEMA}}]}"""),
            (Ollama, """{"model":"m","messages":[{"role":"user","content":"Go"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Zürich","days":1}}},{"function":{"name":"time","arguments":{}}}]},{"role":"tool","content":"sunny","tool_name":"weather"},{"role":"tool","content":"noon"}],"options":{"num_predict":9},"tools":[{"type":"function","function":{"name":"weather","description":"d","parameters":SCHEMA}}]}"""),
            (Anthropic, """{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Go"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Zürich","days":1}},{"type":"tool_use","id":"toolu_2","name":"time","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"sunny"},{"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"noon"}]}]}],"tools":[{"name":"weather","description":"d","input_schema":SCHEMA,"cache_control":{"type":"ephemeral"}}]}"""),
            (Responses, """{"model":"m","max_output_tokens":9,"input":[{"role":"user","content":"Go"},{"type":"function_call","call_id":"c1","name":"weather","arguments":"{\"city\":\"Zürich\",\"days\":1}"},{"type":"function_call","call_id":"c2","name":"time","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"sunny"},{"type":"function_call_output","call_id":"c2","output":"noon"}],"tools":[{"type":"function","name":"weather","description":"d","parameters":SCHEMA}]}"""),
        ],
        [
            (Openai, """{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"See"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO","detail":"auto"}}]},{"role":"assistant","reasoning_content":"hm","reasoning":"hm","content":"A cat"},{"role":"user","content":"Sure?"}],"reasoning_effort":"low"}"""),
            (Ollama, """{"model":"m","messages":[{"role":"user","content":"See","images":["iVBO"]},{"role":"assistant","thinking":"hm","content":"A cat"},{"role":"user","content":"Sure?"}],"think":"low"}"""),
            (Responses, """{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"See"},{"type":"input_image","image_url":"data:image/png;base64,iVBO"}]},{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"A cat","annotations":[]}]},{"role":"user","content":"Sure?"}],"reasoning":{"effort":"low"}}"""),
        ],
        [
            (Openai, """{"model":"m","messages":[{"role":"user","content":"Go"}],"max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":SCHEMA}}}"""),
            (Ollama, """{"model":"m","messages":[{"role":"user","content":"Go"}],"options":{"num_predict":9},"format":SCHEMA}"""),
            (Anthropic, """{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Go"}],"output_config":{"format":{"type":"json_schema","schema":SCHEMA}}}"""),
            (Responses, """{"model":"m","max_output_tokens":9,"input":"Go","text":{"format":{"type":"json_schema","name":"answer","schema":SCHEMA}}}"""),
        ],
        [
            (Openai, """{"model":"m","messages":[{"role":"user","content":"Go"}],"max_tokens":9,"response_format":{"type":"text"},"reasoning_effort":"none"}"""),
            (Ollama, """{"model":"m","messages":[{"role":"user","content":"Go"}],"think":false,"format":null,"options":{"num_predict":9}}"""),
            (Anthropic, """{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Go"}],"thinking":{"type":"disabled"}}"""),
            (Responses, """{"model":"m","max_output_tokens":9,"input":[{"role":"user","content":"Go"}],"text":{"format":{"type":"text"}},"reasoning":{"effort":"none"}}"""),
        ],
    ];

    /// <summary>Requests that differ from the first one and from each other, by dialect.</summary>
    private static readonly (string Dialect, string Base, string[] Members)[] Differences =
    [
        (Openai, """{"model":"m","messages":[{"role":"user","content":"Go"}]""",
        [
            """ "temperature":0""", """ "temperature":0.1""", """ "top_p":0.1""", """ "top_k":1""", """ "min_p":0.1""", """ "seed":1""", """ "seed":2""",
            """ "max_tokens":1""", """ "max_tokens":2""", """ "max_tokens":1,"max_completion_tokens":2""", """ "stop":"a" """, """ "stop":["a","b"]""",
            """ "frequency_penalty":0.1""", """ "presence_penalty":0.1""", """ "repeat_penalty":1.1""", """ "repeat_penalty":1.1,"repetition_penalty":1.2""",
            """ "n":2""", """ "logprobs":true""", """ "logprobs":true,"top_logprobs":2""", """ "parallel_tool_calls":false""", """ "parallel_tool_calls":true""",
            """ "response_format":{"type":"json_object"}""", """ "response_format":{"type":"json_object","schema":{}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"a":1}}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"b","schema":{}}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{}}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"a","description":"d","schema":{}}}""",
            """ "response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{},"new":1}}""",
            """ "response_format":{"type":"grammar","grammar":"x"}""",
            """ "reasoning_effort":"low" """, """ "reasoning_effort":"high" """, """ "reasoning_effort":"none" """,
            """ "tool_choice":"none" """, """ "tool_choice":"required" """, """ "tool_choice":{"type":"function","function":{"name":"a"}}""",
            """ "tool_choice":{"type":"function","function":{"name":"b"}}""", """ "tool_choice":{"type":"allowed_tools"}""",
            """ "tools":[{"type":"function","function":{"name":"a"}}]""", """ "tools":[{"type":"function","function":{"name":"b"}}]""",
            """ "tools":[{"type":"function","function":{"name":"a","description":"d"}}]""",
            """ "tools":[{"type":"function","function":{"name":"a","parameters":{}}}]""",
            """ "tools":[{"type":"function","function":{"name":"a","strict":true}}]""", """ "tools":[{"type":"function","function":{"name":"a","new":1}}]""",
            """ "tools":[{"type":"function","new":1,"function":{"name":"a"}}]""", """ "tools":[{"type":"other","function":{"name":"a"}}]""",
            """ "tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]""",
            """ "tools":[{"type":"function","function":{"name":"b"}},{"type":"function","function":{"name":"a"}}]""",
            """ "tools":[{"type":"web_search"}]""", """ "tools":[{"type":"file_search"}]""",
            """ "grammar":"x" """, """ "grammar":"y" """, """ "grammar":["x"]""", """ "chat_template_kwargs":{"enable_thinking":false}""",
            """ "chat_template_kwargs":{"enable_thinking":"false"}""", """ "ignore_eos":true""", """ "ignore_eos":1""", """ "ignore_eos":1.5""",
        ]),
        (Ollama, """{"model":"m","messages":[{"role":"user","content":"Go"}]""",
        [
            """ "options":{"num_ctx":1}""", """ "options":{"num_ctx":2}""", """ "options":{"mirostat":1}""", """ "options":{"mirostat":2}""",
            """ "options":{"stop":["a"]}""", """ "options":{"repeat_penalty":1.1}""", """ "format":"json" """, """ "format":{}""", """ "think":true""",
            """ "think":"low" """, """ "think":"high" """, """ "think":false""", """ "logprobs":true""", """ "new":1""", """ "truncate":false""",
        ]),
        (Anthropic, """{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Go"}]""",
        [
            """ "system":"a" """, """ "system":"b" """, """ "top_k":1""", """ "stop_sequences":["a"]""", """ "thinking":{"type":"adaptive"}""",
            """ "thinking":{"type":"adaptive","display":"omitted"}""", """ "thinking":{"type":"adaptive","display":"summarized"}""",
            """ "thinking":{"type":"enabled","budget_tokens":2000}""", """ "thinking":{"type":"enabled","budget_tokens":3000}""",
            """ "output_config":{"effort":"max"}""", """ "output_config":{"new":1}""", """ "output_config":{"format":{"type":"json_schema","schema":{},"new":1}}""",
            """ "output_format":{"type":"json_schema","schema":{"a":1}}""", """ "context_management":{"edits":[]}""", """ "mcp_servers":[]""",
            """ "tools":[{"type":"web_search_20250305","name":"web_search"}]""", """ "tools":[{"name":"a","input_schema":{}}]""",
            """ "tools":[{"name":"a","input_schema":{},"defer_loading":true}]""", """ "tool_choice":{"type":"any"}""",
            """ "tool_choice":{"type":"any","disable_parallel_tool_use":true}""",
        ]),
        (Responses, """{"model":"m" """,
        [
            """ "input":"Go" """, """ "input":"go" """, """ "input":"Go","instructions":"a" """, """ "input":"Go","reasoning":{"effort":"low"}""",
            """ "input":"Go","reasoning":{"effort":"low","summary":"auto"}""", """ "input":"Go","reasoning":{"summary":"detailed"}""",
            """ "input":"Go","include":["reasoning.encrypted_content"]""", """ "input":"Go","include":["message.output_text.logprobs"]""",
            """ "input":"Go","text":{"verbosity":"low"}""", """ "input":"Go","text":{"format":{"type":"json_object"}}""", """ "input":"Go","truncation":"auto" """,
            """ "input":"Go","max_tool_calls":1""", """ "input":[{"role":"user","content":"Go"},{"type":"reasoning","summary":[],"encrypted_content":"gAAAA1"}]""",
            """ "input":[{"role":"user","content":"Go"},{"type":"reasoning","summary":[],"encrypted_content":"gAAAA2"}]""",
            """ "input":[{"type":"web_search_call","id":"a"},{"role":"user","content":"Go"}]""",
            """ "input":[{"role":"user","content":"Go"},{"type":"web_search_call","id":"a"}]""",
            """ "input":[{"role":"user","content":[{"type":"input_text","text":"Go","new":1}]}]""", """ "input":[{"role":"user","phase":"x","content":"Go"}]""",
            """ "input":[{"role":"user","content":[{"type":"input_file","file_data":"a"}]}]""",
            """ "input":[{"role":"user","content":[{"type":"input_file","file_data":"b"}]}]""",
            """ "input":"Go","tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}]""",
            """ "input":"Go","tools":[{"type":"function","name":"a","defer_loading":true},{"type":"function","name":"b"}]""",
            """ "input":"Go","tools":[{"type":"function","name":"a"},{"type":"function","name":"b","defer_loading":true}]""",
            """ "input":"Go","tools":[{"type":"custom","name":"a"}]""", """ "input":"Go","tools":[{"type":"web_search"}]""",
            """ "input":"Go","tools":[{"type":"custom","name":"a","format":{"type":"grammar","syntax":"lark","definition":"x"}}]""",
        ]),
        (Completions, """{"model":"m" """,
        [
            """ "prompt":"Go" """, """ "prompt":["a","b"]""", """ "prompt":["a","c"]""", """ "prompt":[1,2]""", """ "prompt":"Go","suffix":"a" """,
            """ "prompt":"Go","echo":true""", """ "prompt":"Go","best_of":2""", """ "prompt":"Go","logprobs":1""", """ "prompt":"Go","logprobs":2""",
            """ "prompt":"Go","response_format":{"type":"json_object"}""",
        ]),
        (Generate, """{"model":"m" """,
        [
            """ "prompt":"Go" """, """ "prompt":"Go","raw":true""", """ "prompt":"Go","template":"a" """, """ "prompt":"Go","context":[1]""",
            """ "prompt":"Go","suffix":"a" """, """ "prompt":"Go","images":["a"]""", """ "prompt":"Go","images":["b"]""",
        ]),
    ];

    /// <summary>Conversations that differ from each other.</summary>
    private static readonly string[] Conversations =
    [
        """[{"role":"user","content":"Go"}]""", """[{"role":"user","content":"go"}]""", """[{"role":"system","content":"Go"}]""",
        """[{"role":"developer","content":"Go"}]""", """[{"role":"assistant","content":"Go"}]""", """[{"role":"ipython","content":"Go"}]""",
        """[{"role":"user","content":"G"},{"role":"user","content":"o"}]""", """[{"role":"user","content":[{"type":"text","text":"G"},{"type":"text","text":"o"}]}]""",
        """[{"role":"user","name":"a","content":"Go"}]""", """[{"role":"user","content":"Go","new":1}]""", """[{"role":"user","content":"Go","new":2}]""",
        """[{"role":"user","content":[{"type":"text","text":"Go","new":1}]}]""", """[{"role":"assistant","content":"Go","refusal":"no"}]""",
        """[{"role":"assistant","content":"Go","reasoning_content":"a"}]""", """[{"role":"assistant","content":"Go","reasoning":"b"}]""",
        """[{"role":"assistant","content":"Go","reasoning":"a","reasoning_content":"b"}]""", """[{"role":"assistant","content":"Go","reasoning":{"a":1}}]""",
        """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/1"}}]}]""",
        """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/2"}}]}]""",
        """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/1","detail":"high"}}]}]""",
        """[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,https"}}]}]""",
        """[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"a"}}]}]""",
        """[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"b"}}]}]""",
        Called("""{"id":"1","function":{"name":"a","arguments":"{}"}}""", "1"), Called("""{"id":"1","function":{"name":"b","arguments":"{}"}}""", "1"),
        Called("""{"id":"1","function":{"name":"a","arguments":"{\"x\":1}"}}""", "1"), Called("""{"id":"1","function":{"name":"a","arguments":"{\"x\""}}""", "1"),
        Called("""{"id":"1","function":{"name":"a","arguments":"{\"x\":\"\\ud800\"}"}}""", "1"), Called("""{"id":"1","function":{"name":"a","arguments":"{}"}}""", "2"),
        Called("""{"id":"1","function":{"name":"a","arguments":"{}"}},{"id":"2","function":{"name":"a","arguments":"{}"}}""", "1"),
        Called("""{"id":"1","function":{"name":"a","arguments":"{}"}},{"id":"2","function":{"name":"a","arguments":"{}"}}""", "2"),
        Called("""{"id":"1","function":{"name":"a","arguments":"{}"}}""", "1").Replace("\"tool\",", "\"tool\",\"name\":\"b\",", StringComparison.Ordinal),
        Called("""{"id":"1","new":1,"function":{"name":"a","arguments":"{}"}}""", "1"), Called("""{"id":"1","type":"custom","custom":{"name":"a"}}""", "1"),
    ];

    private static string Called(string calls, string answered) =>
        $$"""[{"role":"user","content":"Go"},{"role":"assistant","tool_calls":[{{calls}}]},{"role":"tool","tool_call_id":"{{answered}}","content":"x"}]""";

    [Fact]
    public void Document_Is_this_text_and_its_digest_is_the_id()
    {
        using var copy = new MemoryStream();
        var routed = Routed(Openai, Chat, headers: [new("anthropic-beta", "b, a"), new("user-agent", "x")], workspace: "docs", pipeline: "p");
        routed.Call.TryGetRequest(out var request);

        var digest = RequestDigest.Of(routed, request!, copy);

        Assert.Equal("""
            {"betas":["a","b"],"messages":[{"content":[{"text":"Be brief."}],"role":"system"},{"content":[{"text":"Zürich é \u0001 \"quoted\" 😀"}],"role":"user"}],"model":"m","other":{"openai":{"mirostat":2}},"pipeline":"p","sampling":{"max_tokens":64,"seed":7,"stop":["END"],"temperature":0.5},"tool_choice":{"mode":"required"},"tools":[{"description":"The weather","name":"weather","parameters":{"a":100,"b":[1.5,true,null]}}],"v":1,"workspace":"docs"}
            """,
            Encoding.UTF8.GetString(copy.ToArray()));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(copy.ToArray())), digest);
        Assert.Equal((digest, digest), (routed.RequestId(), routed.Call.RequestId));
    }

    /// <summary>If a digest changes, no stored answer or record is found any more: then the version in the document must change too.</summary>
    [Theory]
    [InlineData(0, "9349a989abcd54237f1abe371aa49c146d55aacf100795d60158cd7c3cdc9bb3")]
    [InlineData(1, "06cd1984f283a137309f92701084d202ebd4552e96347003c9c2deb2e865c487")]
    [InlineData(2, "fac01e44c42f84c9d6e4647689920f6ef31290651dc078dd62492c58f16a6e05")]
    [InlineData(3, "4db735f19eaa742fc75033ebc258f0887f56aafde44795fceae5e33eb248f140")]
    [InlineData(4, "c1ee7cee6987e4df66ae187bb57c55583d3b3eb49f447e736e0a477954f15500")]
    public void Requests_of_one_meaning_have_one_digest_in_every_dialect(int meaning, string digest) =>
        Assert.Equal(Meanings[meaning].Select(_ => digest), Meanings[meaning].Select(said => Id(said.Dialect, said.Body)));

    [Fact]
    public void Everything_that_shapes_the_answer_Changes_the_digest()
    {
        foreach (var (dialect, start, members) in Differences)
        {
            var bodies = members.Select(member => start + "," + member + "}").ToList();
            if (start.Contains("content", StringComparison.Ordinal)) bodies.Add(start + "}");
            AllDiffer(bodies, body => Id(dialect, body));
        }

        AllDiffer(Conversations, messages => Id(Openai, $$"""{"model":"m","messages":{{messages}}}"""));
        AllDiffer([.. Meanings.Select(same => same[0].Body)], body => Id(Openai, body));
    }

    [Fact]
    public void Example_of_the_page_Is_true()
    {
        var blocks = File.ReadAllText(Path.Combine(Wire.Root, "docs", "request-identity.md")).Split("```\n");
        using var copy = new MemoryStream();
        var routed = Routed(Openai, blocks[1]);
        routed.Call.TryGetRequest(out var request);

        Assert.Contains($"`{RequestDigest.Of(routed, request!, copy)}`", blocks[4], StringComparison.Ordinal);
        Assert.Equal(blocks[3], Encoding.UTF8.GetString(copy.ToArray()) + "\n");
    }

    [Fact]
    public void Model_workspace_pipeline_and_betas_Change_the_digest()
    {
        const string Body = """{"model":"m","messages":[]}""";
        string?[] ids =
        [
            Id(Openai, Body), Id(Openai, """{"model":"n","messages":[]}"""), Routed(Openai, Body, workspace: "w").RequestId(),
            Routed(Openai, Body, pipeline: "w").RequestId(), Routed(Openai, Body, headers: [new("openai-beta", "w")]).RequestId(),
            Routed(Openai, Body, workspace: "w", rag: new() { TopK = "3" }).RequestId(),
            Routed(Openai, Body, workspace: "w", rag: new() { TopK = "3", Rerank = "off" }).RequestId(),
            Routed(Openai, Body, workspace: "w", rag: new() { Threshold = "3" }).RequestId(),
            Routed(Openai, Body, workspace: "w", rag: new() { Filter = "3" }).RequestId(),
        ];

        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.Equal(Routed(Openai, """{"model":"m#w","messages":[]}""").RequestId(), Routed(Openai, Body, workspace: "w").RequestId());
        Assert.Equal(Routed(Openai, Body, workspace: "w", rag: new() { Trace = "1" }).RequestId(), Routed(Openai, Body, workspace: "w").RequestId());
    }

    [Fact]
    public void Spelling_of_the_JSON_Does_not_change_the_digest()
    {
        var bodies = Meanings.SelectMany(same => same).Append((Openai, Chat)).ToArray();
        Gen.Select(Gen.Int[0, bodies.Length - 1], Gen.Int).Holds(500, static drawn => $"{drawn}", drawn =>
        {
            var (dialect, body) = bodies[drawn.Item1];
            var random = new Random(drawn.Item2);
            var respelled = new StringBuilder();
            Respell(JsonNode.Parse(body.Replace("SCHEMA", Schema, StringComparison.Ordinal)), respelled, random);

            Assert.Equal(Id(dialect, body), Id(dialect, respelled.ToString()));
        });
    }

    [Fact]
    public void Marks_that_an_agent_changes_in_every_prompt_Do_not_change_the_digest()
    {
        static string Body(string mark) => $$"""
            {"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Go"}],
             "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.37.3a3; cc_entrypoint=cli; cch={{mark}};"}]}
            """;
        var routed = Routed(Anthropic, Body("a1b2c"));

        Assert.Equal(Id(Anthropic, Body("fffff")), routed.RequestId());
        routed.Call.Edits = routed.Call.Dialect.NormalisePrompt(routed.Call.OriginalBody!.Value.Span);
        routed.Call.TryGetRequest(out var request);
        Assert.DoesNotContain("a1b2c", ((ContentPart.Text)request!.Messages[0].Content[0]).Value, StringComparison.Ordinal);
    }

    [Fact]
    public void Edits_after_the_request_was_parsed_Are_in_the_request()
    {
        var call = Routed(Openai, """{"model":"m","messages":[{"role":"user","content":"abc"}]}""").Call;
        call.TryGetRequest(out _);
        var at = call.OriginalBody!.Value.Span.IndexOf("abc"u8);
        call.Edits = [new(at..(at + 1), "X"u8.ToArray())];

        call.TryGetRequest(out var request);

        Assert.Contains('X', ((ContentPart.Text)request!.Messages[0].Content[0]).Value);
    }

    [Fact]
    public void Released_call_Keeps_the_digest_and_computes_none()
    {
        var (early, late) = (Routed(Openai, Chat), Routed(Openai, Chat));
        var digest = early.RequestId();
        early.Call.Dispose();
        late.Call.Dispose();

        Assert.Equal((digest, null), (early.RequestId(), late.RequestId()));
        Assert.Null(Id(Openai, """{"model":"m","messages":7}"""));
    }

    [Theory]
    [InlineData("0", "0", "-0", "0.0", "0e7", "-0.00E-5")]
    [InlineData("1", "1.0", "1e0", "10e-1", "0.1E1", "1.000")]
    [InlineData("-150", "-1.5e2", "-150.0", "-15E+1")]
    [InlineData("0.000001", "1e-6", "0.0000010")]
    [InlineData("1e-7", "0.0000001", "0.1e-6")]
    [InlineData("1.5e+21", "1500000000000000000000.0", "15e20")]
    [InlineData("123456789012345678901", "123456789012345678901.0")]
    [InlineData("1.2345678901234567890123e+22", "12345678901234567890123")]
    [InlineData("0.10000000000000000001", "0.10000000000000000001", "1.0000000000000000001e-1")]
    [InlineData("1e99999999999", "1e99999999999")]
    public void Number_Has_one_spelling(string expected, params string[] spelled) =>
        Assert.All(spelled, number => Assert.Equal(expected, CanonicalNumber.Of(number)));

    [Fact]
    public void Numbers_are_spelled_as_in_JavaScript() => Gen.Double.Where(double.IsFinite).Holds(1000, static number => $"{number:R}", static number =>
        Assert.Equal(number, double.Parse(CanonicalNumber.Of(number.ToString("R", System.Globalization.CultureInfo.InvariantCulture)),
            System.Globalization.CultureInfo.InvariantCulture)));

    private static void AllDiffer(IReadOnlyList<string> bodies, Func<string, string?> id)
    {
        var seen = new Dictionary<string, string>();
        foreach (var body in bodies)
        {
            var digest = id(body);
            Assert.True(digest is not null, $"no request: {body}");
            Assert.True(seen.TryAdd(digest, body), $"the same digest:\n{body}\n{seen.GetValueOrDefault(digest)}");
        }
    }

    /// <summary>Writes the same value with other white space, another order of members, other escapes and other spellings of its numbers.</summary>
    private static void Respell(JsonNode? node, StringBuilder text, Random random)
    {
        var space = random.Next(4) switch { 0 => " ", 1 => "\n\t", _ => "" };
        text.Append(space);
        switch (node)
        {
            case JsonObject members:
                var shuffled = members.ToArray();
                random.Shuffle(shuffled);
                text.Append('{');
                for (var i = 0; i < shuffled.Length; i++)
                {
                    text.Append(i > 0 ? "," : "").Append(space).Append('"').Append(shuffled[i].Key).Append('"').Append(space).Append(':');
                    Respell(shuffled[i].Value, text, random);
                }

                text.Append('}');
                break;
            case JsonArray items:
                text.Append('[');
                for (var i = 0; i < items.Count; i++)
                {
                    text.Append(i > 0 ? "," : "");
                    Respell(items[i], text, random);
                }

                text.Append(space).Append(']');
                break;
            case JsonValue value when value.TryGetValue(out string? word):
                text.Append('"');
                foreach (var letter in word)
                {
                    var escape = letter is '"' or '\\' or < ' ' || char.IsSurrogate(letter) || random.Next(3) == 0;
                    text.Append(escape ? $"\\u{(int)letter:x4}" : letter.ToString());
                }

                text.Append('"');
                break;
            case JsonValue value when value.ToJsonString() is { } number && char.IsAsciiDigit(number[^1]) && !number.Contains('E', StringComparison.Ordinal):
                var zeros = number.Contains('.', StringComparison.Ordinal) ? "00" : number.Contains('e', StringComparison.Ordinal) ? "" : ".0";
                text.Append(random.Next(3) switch { 0 when zeros.Length > 0 => number + "e0", 1 => number + zeros, _ => number });
                break;
            default:
                text.Append(node?.ToJsonString() ?? "null");
                break;
        }

        text.Append(space);
    }

    private static string? Id(string dialect, string body) => Routed(dialect, body).RequestId();

    private static RoutedCall Routed(string dialect, string body, IReadOnlyList<KeyValuePair<string, string>>? headers = null,
        string? workspace = null, string? pipeline = null, RagWishes? rag = null)
    {
        var name = dialect switch
        {
            Openai => DialectName.OpenAiChat,
            Ollama => DialectName.OllamaChat,
            Generate => DialectName.OllamaGenerate,
            Anthropic => DialectName.Anthropic,
            Responses => DialectName.OpenAiResponses,
            _ => DialectName.OpenAiCompletions,
        };
        var bytes = Encoding.UTF8.GetBytes(body.Replace("SCHEMA", Schema, StringComparison.Ordinal));
        Assert.Null(EnvelopePeek.Read(bytes, out var envelope));
        var info = new CallInfo("T", "C", "me") { Workspace = workspace, Pipeline = pipeline, Wishes = new() { Rag = rag } };
        return RouteTable.Split(new ChatCall(DialectTable.Client(name)!, envelope!, info, bytes) { Headers = headers ?? [] });
    }
}
