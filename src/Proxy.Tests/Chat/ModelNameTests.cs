using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class ModelNameTests
{
    [Theory]
    [InlineData("""{"model":"a"}""", "\"a\"")]
    [InlineData(" \r\n{ \"model\" : \"a\" }", "\"a\"")]
    [InlineData("""{"x":{"model":"inner"},"y":[{"model":"inner"}],"model":"outer","z":1.50}""", "\"outer\"")]
    [InlineData("""{"message":"say \"model\":\"no\"","model":"yes"}""", "\"yes\"")]
    [InlineData("""{"mod\u0065l":"a\"\u00e9"}""", """
        "a\"\u00e9"
        """)]
    [InlineData("""{"model":null,"x":1}""", null)]
    [InlineData("""{"model":{"model":"inner"}}""", null)]
    [InlineData("""{"models":"a"}""", null)]
    [InlineData("""[{"model":"a"}]""", null)]
    [InlineData("""{"type":"message_start","message":{"id":"i","content":[{"model":"no"}],"model":"yes","usage":{}}}""", "\"yes\"")]
    [InlineData("""{"response":{"model":"yes","x":{"model":"no"}},"sequence_number":1}""", "\"yes\"")]
    [InlineData("""{"message":{"model":"inner"},"model":"outer"}""", "\"outer\"")]
    [InlineData("""{"message":{"model":"a","x":tru""", null)]
    [InlineData("[DONE]", null)]
    [InlineData("", null)]
    [InlineData("""{"x":tru""", null)]
    [InlineData("""{"model":"a","x":tru""", "\"a\"")]
    public void Find_The_value_at_the_top_or_of_the_wrapped_answer_and_no_other(string json, string? expected)
    {
        var bytes = Encoding.UTF8.GetBytes(json);

        Assert.Equal(expected, ModelName.Find(bytes) is { } place ? Encoding.UTF8.GetString(bytes[place]) : null);
    }

    [Theory]
    [InlineData("llama3:8b")]
    [InlineData("a\"b\\c/d\n\t")]
    [InlineData("Qwen/Qwen3-8B#é漢🙂<&>")]
    public void Written_as_json_It_reads_back(string name)
    {
        Assert.Equal(name, JsonElement.Parse(ModelName.Json(name).Span).GetString());
        Assert.Equal(name, JsonElement.Parse(ModelName.Json(name).Span).GetString());
    }
}
