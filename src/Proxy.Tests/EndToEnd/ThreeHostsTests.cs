using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

namespace Proxy.Tests.EndToEnd;

/// <summary>The three boxes of packaging/three-hosts, each in a network of its own, with real PostgreSQL and NATS. The script has the steps.</summary>
[Trait("Category", "System")]
public sealed class ThreeHostsTests
{
    /// <summary>How a box goes off. Half a minute longer: PROXY_THREE_HOSTS=cut, without its power.</summary>
    private static readonly string Off = Environment.GetEnvironmentVariable("PROXY_THREE_HOSTS") is { Length: > 0 } way ? way : "kill";

    [Fact]
    public async Task Three_boxes_Work_together_and_without_one_of_them()
    {
        var tree = await ServerTree.MadeAsync(ServerTree.Usual); // skips where there is no root
        Assert.SkipUnless(File.Exists("/usr/sbin/ip") || File.Exists("/sbin/ip"), "needs iproute2");
        Assert.SkipUnless(File.Exists("/usr/bin/jq"), "needs jq");

        var (exitCode, output) = await Command.TryAsync(
            Path.Combine(Repository.Root, "packaging/three-hosts/test.sh"), string.Join(' ', ProxyProcess.Program()), tree, Off);

        Assert.True(exitCode == 0, output);
        Assert.Equal(["doctor", "chat", "rag", "workflow", "resume", "one off", "one back", "records"],
            output.Split('\n').Where(static line => line.StartsWith("ok ", StringComparison.Ordinal)).Select(static line => line[3..line.IndexOf(':')]));
    }
}
