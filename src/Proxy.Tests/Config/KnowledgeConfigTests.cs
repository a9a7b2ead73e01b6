using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class KnowledgeConfigTests
{
    [Fact]
    public void No_section_Knowledge_is_on()
    {
        var knowledge = Toml.Good("").Knowledge;

        Assert.True(knowledge.Enabled);
        Assert.Equal((512_000_000, 0, null, 0), (knowledge.FileLimit, knowledge.Embedders.Count, knowledge.Reranker, knowledge.Listed.Count));
    }

    [Fact]
    public void Every_setting_Is_read()
    {
        var knowledge = Toml.Good("""
            [knowledge]
            enabled = false
            file_limit = "1GB"
            embedder = ["a", "b"]
            reranker = "c"
            listed = ["m#w"]
            """).Knowledge;

        Assert.False(knowledge.Enabled);
        Assert.Equal(1_000_000_000, knowledge.FileLimit);
        Assert.Equal(["a", "b"], knowledge.Embedders);
        Assert.Equal("c", knowledge.Reranker);
        Assert.Equal(["m#w"], knowledge.Listed);
        Assert.Equal(["a"], Toml.Good("[knowledge]\nembedder = \"a\"\n").Knowledge.Embedders);
    }

    [Theory]
    [InlineData("file_limit = \"10B\"", "knowledge.file_limit", "is out of range")]
    [InlineData("embedder = [\"a\", \"b\", \"c\"]", "knowledge.embedder", "names 3 models; name one or two")]
    [InlineData("embedder = \"http://box:80\"", "knowledge.embedder", "is an address; write the model's name, and name the host in [[backends]]")]
    [InlineData("reranker = \"grpc://box:50051\"", "knowledge.reranker", "run the model in this process ([[inference.models]] with the path of its ONNX folder), or run a proxy on that host")]
    [InlineData("reranker = \"https://box\"", "knowledge.reranker", "is an address")]
    [InlineData("listed = [\"m\"]", "knowledge.listed[0]", "write \"MODEL#WORKSPACE\"")]
    [InlineData("listed = [\"m#\"]", "knowledge.listed[0]", "write \"MODEL#WORKSPACE\"")]
    [InlineData("rerank_model = \"x\"", "knowledge.rerank_model", "write reranker")]
    public void A_wrong_setting_Says_what_to_write(string line, string key, string hint) => Toml.IsRefused($"[knowledge]\n{line}\n", 2, key, hint);

    [Fact]
    public void A_key_named_local_Is_refused_because_it_would_own_the_documents_of_the_command_line() => Toml.IsRefused(
        "[[auth.keys]]\nname = \"local\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n", 2, "auth.keys[0].name",
        "owns the documents of the command line");

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
        Toml.IsRefused(Key + "vector_stores = [\"docs\"]\n", 4, "auth.keys[0].vector_stores", "write workspaces");
    }
}
