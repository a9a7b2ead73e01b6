using Proxy.Config;
using Proxy.Inference;
using Proxy.Vectors;

namespace Proxy.Tests.Inference;

public sealed class ModelFolderTests
{
    private const string Bert = """{"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "max_position_embeddings": 512, "pad_token_id": 0}""";

    [Theory]
    [InlineData("tiny-bpe-embed", "Embed", "LastToken", 1024)]
    [InlineData("tiny-unigram-embed", "Embed", "FirstToken", 512)]
    [InlineData("tiny-wordpiece-rerank", "Rerank", "Mean", 512)]
    [InlineData("tiny-wordpiece-colbert", "LateInteraction", "Mean", 512)]
    public void Kind_pooling_and_limit_Are_what_the_files_say(string name, string kind, string pooling, int limit)
    {
        var folder = ModelFolder.Read(new FolderFiles(TestModels.Folder(name)), null, "auto");

        Assert.Equal((kind, pooling, limit), (folder.Kind.ToString(), folder.Pooling.ToString(), folder.MaxLength));
    }

    [Fact]
    public void Bundled_model_Reads_256_tokens_although_its_tokenizer_says_128_and_its_positions_512()
    {
        var info = TestModels.Bundled.Info;

        Assert.Equal((256, 384, "q4", Pooling.Mean), (info.MaxInputLength, info.Dimensions, info.Variant, info.Pooling));
        Assert.Equal(["all-minilm"], info.Aliases);
        Assert.InRange(info.SizeBytes!.Value, 14_000_000, 14_500_000);
    }

    [Theory]
    [InlineData("auto", "onnx/model.onnx", "fp32")]
    [InlineData("int8", "onnx/model_quantized.onnx", "int8")]
    [InlineData("q4", "onnx/model_q4.onnx", "q4")]
    public void Several_graphs_The_variant_chooses(string variant, string graph, string kept)
    {
        var files = new FakeFiles(("onnx/model_quantized.onnx", ""), ("onnx/model.onnx", ""), ("onnx/model_q4.onnx", ""), ("onnx/model_q4f16.onnx", ""),
            ("onnx/model_qint8_arm64.onnx", ""));

        var folder = ModelFolder.Read(files, null, variant);

        Assert.Equal((graph, kept), (folder.Graph, folder.Variant));
    }

    [Fact]
    public void Only_a_quantised_graph_Is_taken_without_being_asked_for()
    {
        Assert.Equal("onnx/model_quantized.onnx", ModelFolder.Read(new FakeFiles(("onnx/model_quantized.onnx", "")), null, "auto").Graph);
    }

    [Theory]
    [InlineData("tokenizer.json", null, "tokenizer.json is missing")]
    [InlineData("config.json", null, "config.json is missing")]
    [InlineData("config.json", "{", "config.json is not JSON")]
    [InlineData("config.json", "\"text\"", "config.json is not a JSON object")]
    [InlineData("onnx/model.onnx", null, "onnx/model.onnx is missing")]
    [InlineData("modules.json", """[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]""",
        "modules.json has a module that is not supported: Dense")]
    [InlineData("modules.json", """[{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]""", "1_Pooling/config.json is missing")]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_max_tokens": true}""", "1_Pooling/config.json asks for the pooling \"max_tokens\"")]
    public void Broken_folder_The_problem_names_the_file(string file, string? content, string problem)
    {
        var files = new FakeFiles(("onnx/model.onnx", ""));
        if (file.StartsWith("1_Pooling", StringComparison.Ordinal))
            files.Put("modules.json", """[{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]""");
        files.Put(file, content);

        var thrown = Assert.Throws<ModelFolderException>(() => ModelFolder.Read(files, null, "auto"));

        Assert.StartsWith(problem, thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Check_The_folder_s_problem_is_the_path_s_in_its_line()
    {
        var sources = Proxy.Tests.Config.Toml.Machine() with { ModelProblem = ModelFolder.Problem };

        var problem = Assert.Single(ConfigReader.Read("[inference]\n\n[[inference.models]]\nname = \"m\"\npath = \"nowhere\"\n", sources).Problems);

        Assert.Equal(("inference.models[0].path", 5, "there is no folder /etc/proxy/nowhere"), (problem.Key, problem.Line, problem.Message));
    }

    [Fact]
    public void Models_of_one_name_Are_refused()
    {
        var problem = Assert.Single(ConfigReader.Read("[[inference.models]]\nname = \"m\"\npath = \"a\"\n[[inference.models]]\nname = \"m\"\npath = \"b\"\n",
            Proxy.Tests.Config.Toml.Machine()).Problems);

        Assert.Equal("inference.models[1].name", problem.Key);
    }

    private sealed class FakeFiles : ModelFiles
    {
        private readonly Dictionary<string, string> files = new() { ["tokenizer.json"] = "{}", ["config.json"] = Bert };

        public FakeFiles(params (string Path, string Content)[] more)
        {
            foreach (var (path, content) in more) files[path] = content;
        }

        public void Put(string path, string? content)
        {
            if (content is null) files.Remove(path);
            else files[path] = content;
        }

        public override string NameOf(string path) => path;

        public override bool Has(string path) => files.ContainsKey(path);

        public override byte[] Read(string path) => System.Text.Encoding.UTF8.GetBytes(files[path]);

        public override long Length(string path) => files[path].Length;

        public override IReadOnlyList<string> Graphs() => [.. files.Keys.Where(static path => path.EndsWith(".onnx", StringComparison.Ordinal))];

        public override FileLease Lease(string path) => throw new NotSupportedException();
    }
}
