using Proxy.Chat;
using Proxy.Dialects.Events;

namespace Proxy.Tests.Dialects;

public sealed class EventSchemaTests
{
    [Theory]
    [InlineData("""{"type":"started","id":"i","model":"m","created":7}""")]
    [InlineData("""{"type":"started"}""")]
    [InlineData("""{"type":"role","role":"assistant"}""")]
    [InlineData("""{"type":"token","text":"é 😀"}""")]
    [InlineData("""{"type":"token","text":"x","kind":"reasoning","choice":2,"task":"writer","opaque":{"signature":"s"}}""")]
    [InlineData("""{"type":"token","text":"x","kind":"refusal"}""")]
    [InlineData("""{"type":"tool_call","index":1,"id":"call_a","name":"f","arguments":"{\"a\":1.50}"}""")]
    [InlineData("""{"type":"block_end"}""")]
    [InlineData("""{"type":"usage","input_tokens":9,"output_tokens":7,"cached_input_tokens":4,"cache_written_tokens":2,"reasoning_tokens":3,"total_duration":1,"load_duration":2,"prompt_eval_duration":3,"eval_duration":4}""")]
    [InlineData("""{"type":"token","text":"x","task":"writer","model":"phi4","seq":17}""")]
    [InlineData("""{"type":"started","id":"i","model":"m","task":"writer","seq":0}""")]
    [InlineData("""{"type":"sources","sources":[{"id":"a","title":"Tïtle","uri":"file:///a","score":0.83},{"id":"b"}],"seq":2}""")]
    [InlineData("""{"type":"finished","reason":"stop"}""")]
    [InlineData("""{"type":"finished","reason":"tool_calls","winner":"b","choice":1}""")]
    [InlineData("""{"type":"finished","reason":"error","error":{"kind":"backend_timeout","message":"slow","type":"t","code":"c","param":"p","status":599}}""")]
    public void Event_Comes_back_as_it_went(string line)
    {
        Assert.Equal(line + "\n", Wire.Lines(Wire.Parse(line)));
    }

    [Fact]
    public void Every_kind_of_error_Comes_back()
    {
        foreach (var kind in Enum.GetValues<ProxyErrorKind>())
        {
            var read = Wire.Parse(Wire.Lines([new ChatEvent.Finished(FinishReason.Error, Error: new ProxyError(kind, "why"))]));

            Assert.Equal(new ProxyError(kind, "why"), Assert.IsType<ChatEvent.Finished>(Assert.Single(read)).Error);
        }
    }

    [Theory]
    [InlineData("""{"text":"x","type":"token"}""", """{"type":"token","text":"x"}""")]
    [InlineData("""{"seq":4,"text":"x","new":{"a":[1]},"type":"token"}""", """{"type":"token","text":"x","seq":4}""")]
    [InlineData("""{"type":"sources"}""", """{"type":"sources","sources":[]}""")]
    [InlineData("""{"type":"sources","sources":[{"uri":"file:///a","score":"high","line":4},{"title":"lost"},7]}""", """{"type":"sources","sources":[{"id":"file:///a","uri":"file:///a"}]}""")]
    [InlineData("""{"type":"token"}""", """{"type":"token","text":""}""")]
    [InlineData("""{"type":"tool_call","name":"f","arguments":{"a": 1.50}}""", """{"type":"tool_call","index":0,"name":"f","arguments":"{\"a\": 1.50}"}""")]
    [InlineData("""{"type":"usage","usage":{"input_tokens":9,"output_tokens":7}}""", """{"type":"usage","input_tokens":9,"output_tokens":7}""")]
    [InlineData("""{"type":"finished"}""", """{"type":"finished","reason":"stop"}""")]
    [InlineData("""{"type":"finished","error":"it broke"}""",
        """{"type":"finished","reason":"error","error":{"kind":"backend_failed","message":"it broke","status":502}}""")]
    [InlineData("""{"type":"finished","error":null}""", """{"type":"finished","reason":"stop"}""")]
    [InlineData("""{"type":"role"}""", """{"type":"role","role":"assistant"}""")]
    public void Short_form_of_a_worker_Is_enough(string line, string meaning)
    {
        Assert.Equal(meaning + "\n", Wire.Lines(Wire.Parse(line)));
    }

    [Fact]
    public void Event_comes_twice_It_is_read_once()
    {
        var events = Wire.Parse("""
            {"type":"token","text":"a","seq":1}
            {"type":"token","text":"unnumbered"}
            {"type":"token","text":"b","task":"writer","seq":3}
            {"type":"token","text":"a","seq":1}
            {"type":"token","text":"b","task":"editor","seq":3}
            {"type":"token","text":"unnumbered"}
            {"type":"finished","seq":4}
            {"type":"finished","seq":4}
            """);

        Assert.Equal(["a", "unnumbered", "b", "unnumbered"], events.OfType<ChatEvent.Token>().Select(token => token.Text));
        Assert.Single(events.OfType<ChatEvent.Finished>());
    }

    [Fact]
    public void Unknown_type_Is_skipped_and_counted()
    {
        var reader = new EventSchemaReader();
        var events = new List<ChatEvent>();

        reader.Read("""{"type":"telepathy","text":"x"}"""u8, events);
        reader.Read("""{"text":"no type"}"""u8, events);
        Assert.False(reader.End(events));
        reader.Read("""{"type":"finished"}"""u8, events);

        Assert.Single(events);
        Assert.Equal(2, reader.Skipped);
        Assert.True(reader.End(events));
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[]")]
    [InlineData("{\"type\":\"token\"")]
    [InlineData("{\"type\":\"token\",\"text\":\"\\ud83d\"}")]
    public void What_is_no_event_Ends_the_stream_with_an_error(string line)
    {
        Assert.Equal(ProxyErrorKind.HostFailed, Assert.IsType<ChatEvent.Finished>(Assert.Single(Wire.Parse(line))).Error!.Kind);
    }
}
