using System.Net;
using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class OwnListenerTests
{
    private static readonly ConfigSources Machine = new()
    {
        Environment = static _ => null,
        IsOwnAddress = static address => address.ToString() is "192.168.1.5" or "fe80::5",
        HostName = "gpu1.home.example"
    };

    [Theory]
    [InlineData("127.0.0.1:8080", "http://127.0.0.1:8080")]
    [InlineData("127.0.0.1:8080", "http://127.0.0.1:8080/v1")]
    [InlineData("127.0.0.1:8080", "http://127.1:8080")]
    [InlineData("127.0.0.1:8080", "http://localhost:8080")]
    [InlineData("127.0.0.1:8080", "http://LOCALHOST.:8080")]
    [InlineData("127.0.0.1:8080", "http://api.localhost:8080")]
    [InlineData("127.0.0.1:8080", "http://0.0.0.0:8080")]
    [InlineData("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080")]
    [InlineData("127.0.0.1:8080", "https://127.0.0.1:8080")]
    [InlineData("127.0.0.1:80", "http://127.0.0.1")]
    [InlineData("[::1]:8080", "http://[::1]:8080")]
    [InlineData("[::1]:8080", "http://localhost:8080")]
    [InlineData("0.0.0.0:8080", "http://127.0.0.1:8080")]
    [InlineData("0.0.0.0:8080", "http://127.0.0.9:8080")]
    [InlineData("0.0.0.0:8080", "http://192.168.1.5:8080")]
    [InlineData("0.0.0.0:8080", "http://localhost:8080")]
    [InlineData("0.0.0.0:8080", "http://gpu1:8080")]
    [InlineData("0.0.0.0:8080", "http://gpu1.local:8080")]
    [InlineData("0.0.0.0:8080", "http://GPU1.home.example:8080")]
    [InlineData("[::]:8080", "http://127.0.0.1:8080")]
    [InlineData("[::]:8080", "http://[::1]:8080")]
    [InlineData("[::]:8080", "http://[fe80::5]:8080")]
    [InlineData("192.168.1.5:8080", "http://192.168.1.5:8080")]
    [InlineData("192.168.1.5:8080", "http://gpu1:8080")]
    public void Url_is_its_own_listener_It_is_refused(string listen, string url)
    {
        var result = Read(listen, url);

        var problem = Assert.Single(result.Problems);
        Assert.Equal("backends[0].url", problem.Key);
        Assert.StartsWith($"\"{url}\" is this proxy's own listener (\"{listen}\")", problem.Message);
        Assert.Equal(6, problem.Line);
    }

    [Theory]
    [InlineData("127.0.0.1:8080", "http://127.0.0.1:8081")]
    [InlineData("127.0.0.1:8080", "http://127.0.0.2:8080")]
    [InlineData("127.0.0.1:8080", "http://192.168.1.5:8080")]
    [InlineData("127.0.0.1:8080", "http://[::1]:8080")]
    [InlineData("127.0.0.1:8080", "builtin:echo")]
    [InlineData("127.0.0.1:0", "http://127.0.0.1:8080")]
    [InlineData("0.0.0.0:8080", "http://192.168.1.6:8080")]
    [InlineData("0.0.0.0:8080", "http://gpu2:8080")]
    [InlineData("0.0.0.0:8080", "http://[::1]:8080")]
    [InlineData("0.0.0.0:8080", "http://gpu1.elsewhere.example:8080")]
    [InlineData("unix:/run/proxy.sock", "http://127.0.0.1:8080")]
    public void Url_is_another_It_is_taken(string listen, string url) => Assert.Empty(Read(listen, url).Problems);

    [Fact]
    public void Environment_names_its_own_listener_It_is_refused_too()
    {
        var sources = Machine with { Environment = static name => name switch { "LLM_BASE_URL" => "http://localhost:11435/v1", _ => null } };
        ConfigReader.ReadEnvironment(sources, out var problems);

        Assert.Equal("LLM_BASE_URL", Assert.Single(problems).Key);
        Assert.Equal("LLM_BASE_URL", Assert.Single(Problems(sources with { Listen = ["[::]:11435"] })).Key);
        Assert.Empty(Problems(sources with { Listen = ["127.0.0.1:8080"] }));

        static IReadOnlyList<ConfigProblem> Problems(ConfigSources sources)
        {
            ConfigReader.ReadEnvironment(sources, out var problems);
            return [.. problems.Where(static problem => problem.Key != "--listen")];
        }
    }

    [Fact]
    public void Machine_Knows_its_addresses()
    {
        Assert.True(OwnListener.IsOfThisMachine(IPAddress.Loopback));
        Assert.False(OwnListener.IsOfThisMachine(IPAddress.Parse("192.0.2.1")));
    }

    private static ConfigResult Read(string listen, string url) => ConfigReader.Read($"""
        [server]
        listen = ["{listen}"]
        [auth]
        allow_anonymous = true
        [[backends]]
        url = "{url}"
        name = "b"
        """, Machine);
}
