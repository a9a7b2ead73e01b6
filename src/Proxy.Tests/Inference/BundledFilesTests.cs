using System.Security.Cryptography;
using Proxy.Inference;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Inference;

public sealed class BundledFilesTests
{
    [Theory]
    [InlineData("onnx/model.onnx")] // compressed in the program
    [InlineData("tokenizer.json")]
    [InlineData("config.json")]
    public void The_program_has_each_file_as_it_is_in_the_repository(string path)
    {
        var files = new BundledFiles();
        var original = File.ReadAllBytes(Path.Combine(Repository.Root, "models/all-minilm", path));

        Assert.True(files.Has(path));
        Assert.Equal(original.Length, files.Length(path));
        Assert.Equal(SHA256.HashData(original), SHA256.HashData(files.Read(path)));
        using var lease = files.Lease(path);
        Assert.Equal(SHA256.HashData(original), SHA256.HashData(File.ReadAllBytes(lease.Path)));
    }

    [Fact]
    public void The_program_has_ONNX_Runtime_byte_for_byte()
    {
        using var packed = NativeRuntime.Resource("libonnxruntime.so.br")!;
        using var unpacked = new MemoryStream();
        using var digest = new StreamReader(NativeRuntime.Resource("libonnxruntime.so.sha256")!);

        NativeRuntime.UnpackCode("libonnxruntime.so", packed, unpacked);

        Assert.Equal(digest.ReadToEnd(), Convert.ToHexStringLower(SHA256.HashData(unpacked.GetBuffer().AsSpan(0, (int)unpacked.Length))));
    }

    [Fact]
    public void A_file_that_the_model_does_not_have_is_not_there() => Assert.False(new BundledFiles().Has("config_sentence_transformers.json"));
}
