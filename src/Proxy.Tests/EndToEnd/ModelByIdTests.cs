using System.Security.Cryptography;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>One model by its id: every name that a chat may use is found, whether or not it is listed.</summary>
public sealed class ModelByIdTests(ModelByIdTests.Door door) : IClassFixture<ModelByIdTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override string Top => """
            default_backend = "rest"
            [aliases]
            fast = "any-small"
            """;

        protected override string Sections()
        {
            var (any, rest) = (Host(), Host());
            any.Pages["/v1/models"] = """{"object":"list","data":[{"id":"listed","object":"model"}]}""";
            return $"""
                [[backends]]
                name = "any"
                url = "{any.Url}"
                dialects = ["openai"]
                prefixes = ["any-", "glob-*-x"]
                [[backends]]
                name = "rest"
                url = "{rest.Url}"
                dialects = ["openai"]
                {Key("all")}
                {Key("few")}
                models = ["any-*"]
                """;
        }

        private static string Key(string name) => $"""
            [[auth.keys]]
            name = "{name}"
            sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("sk-" + name)))}"
            """;
    }

    [Theory]
    [InlineData("listed", "any")]
    [InlineData("fast", "any")] // an alias of a name that only a prefix matches
    [InlineData("any-thing", "any")]
    [InlineData("any-thing:latest", "any")]
    [InlineData("glob-7-x", "any")]
    [InlineData("org%2Fwhatever", "rest")]
    [InlineData("org/whatever", "rest")]
    public async Task Name_is_served_It_is_described(string name, string backend)
    {
        var reply = await door.GetAsync("/v1/models/" + name, "authorization: Bearer sk-all");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(Uri.UnescapeDataString(name), reply.Json.GetProperty("id").GetString());
        Assert.Equal(backend, reply.Json.GetProperty("owned_by").GetString());
    }

    [Fact]
    public async Task Caller_is_Anthropics_The_model_is_described_in_its_form()
    {
        var reply = await door.GetAsync("/v1/models/any-thing", "x-api-key: sk-all", "anthropic-version: 2023-06-01");

        Assert.Equal(200, reply.Status);
        Assert.Equal("any-thing model", $"{reply.Json.GetProperty("id").GetString()} {reply.Json.GetProperty("type").GetString()}");
    }

    [Theory]
    [InlineData("any-thing", 200)]
    [InlineData("org/whatever", 404)]
    [InlineData("listed", 404)]
    public async Task Key_is_limited_to_models_Others_are_unknown(string name, int status)
    {
        var reply = await door.GetAsync("/v1/models/" + name, "authorization: Bearer sk-few");

        Assert.Equal(status, reply.Status);
    }
}
