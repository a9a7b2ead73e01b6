using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class KnowledgeConfigTests
{
    [Fact]
    public void Pairs_are_listed() =>
        Assert.Equal(["qwen3:8b#docs", "a#b,c"], Toml.Good("[knowledge]\nlisted = [\"qwen3:8b#docs\", \"a#b,c\"]\n").Knowledge.Listed);

    [Theory]
    [InlineData("qwen3:8b")]
    [InlineData("#docs")]
    [InlineData("qwen3:8b#")]
    public void Pair_lacks_a_half_Refused(string pair) =>
        Toml.IsRefused($"[knowledge]\nlisted = [\"{pair}\"]\n", 2, "knowledge.listed[0]", "write \"MODEL#WORKSPACE\"");

    [Fact]
    public void Workspaces_of_a_key_are_read_and_checked()
    {
        const string Key = "[[auth.keys]]\nname = \"k\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

        Assert.Equal(["docs", "team-*"], Toml.Good(Key + "workspaces = [\"docs\", \"team-*\"]\n").Auth.Keys[0].Workspaces);
        Assert.Empty(Toml.Good(Key).Auth.Keys[0].Workspaces);
        Toml.IsRefused(Key + "workspaces = [\" docs\"]\n", 4, "auth.keys[0].workspaces[0]", "begins or ends with a space");
        Toml.IsRefused(Key + "workspace = \"docs\"\n", 4, "auth.keys[0].workspace", "write workspaces");
    }
}
