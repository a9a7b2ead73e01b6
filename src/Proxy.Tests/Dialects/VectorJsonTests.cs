using System.Globalization;
using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Tests.Dialects;

public sealed class VectorJsonTests
{
    [Fact]
    public void Numbers_of_every_size_Are_read_back_as_they_were()
    {
        var random = new Random(7);
        float[] hard = [0f, -0f, 1e-5f, 9.999999e-5f, 1e-45f, float.MaxValue, float.MinValue, 1e7f, 12345678f, 0.1f, 1f / 3, -1e-7f];
        float[] vector = [.. hard,
            .. Enumerable.Range(0, 5000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue))).Where(float.IsFinite)];

        var written = Written(body => VectorJson.WriteNumbers(body, vector));
        var base64 = Written(body => VectorJson.WriteBase64(body, vector));

        Assert.Equal(Bits(vector), Bits(Read(written)));
        Assert.Equal(Bits(vector), Bits(Read(base64)));
        Assert.Equal(vector.Length, JsonElement.Parse(written).GetArrayLength());
    }

    [Theory]
    [InlineData(1e-7f, "1e-7")]
    [InlineData(-6.488134e-33f, "-6.488134e-33")]
    [InlineData(-0f, "-0")]
    [InlineData(0.0004985202f, "0.0004985202")]
    public void Number_Is_written_as_the_other_servers_do(float value, string expected) =>
        Assert.Equal($"[{expected}]", Written(body => VectorJson.WriteNumbers(body, [value])));

    [Theory]
    [InlineData("\"AAA=\"")] // two bytes
    [InlineData("\"AAAAAAA\"")]
    [InlineData("\"????\"")]
    [InlineData("[1,[2]]")]
    [InlineData("[1,\"2\"]")]
    [InlineData("{}")]
    [InlineData("[1e99999]")]
    [InlineData("\"AADAfw==\"")] // NaN
    public void Vector_that_is_none_Is_refused(string json)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        reader.Read();
        var values = new FloatList(4);

        Assert.False(VectorJson.TryReadVector(ref reader, ref values));
    }

    [Fact]
    public void Vectors_Cut_and_normalised_Have_length_one()
    {
        var batch = new VectorBatch(new float[] { 3, 4, 12, 0, 0, 5 }, 3, [1, 2]);

        var cut = batch.Cut(2, normalize: true);

        Assert.Equal([0.6f, 0.8f, 0, 0], cut.Values.ToArray());
        Assert.Equal([3f, 4f, 0, 0], batch.Cut(2, normalize: false).Values.ToArray());
        Assert.Equal([1, 2], cut.Tokens);
        var normalised = batch.Normalized();
        Assert.Equal(1, normalised[0].ToArray().Sum(v => (double)v * v), 6);
        Assert.Same(normalised, normalised.Normalized());
    }

    [Theory]
    [InlineData("nomic-embed-text", true)]
    [InlineData("nomic-ai/nomic-embed-text-v1.5-GGUF", true)]
    [InlineData("nomic-ai/nomic-embed-text-v1", false)]
    [InlineData("Qwen/Qwen3-Embedding-0.6B", true)]
    [InlineData("text-embedding-3-small", true)]
    [InlineData("text-embedding-ada-002", false)]
    [InlineData("all-minilm", false)]
    public void Matryoshka_Is_known_by_name(string model, bool known) => Assert.Equal(known, Matryoshka.Knows(model));

    private static string Written(Action<PooledBody> write)
    {
        using var body = new PooledBody(16);
        write(body);
        return Encoding.UTF8.GetString(body.Span);
    }

    private static float[] Read(string json)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        reader.Read();
        var values = new FloatList(4);
        Assert.True(VectorJson.TryReadVector(ref reader, ref values));
        return values.Memory.ToArray();
    }

    private static string Bits(float[] vector) =>
        string.Join(' ', vector.Select(value => BitConverter.SingleToInt32Bits(value).ToString(CultureInfo.InvariantCulture)));
}
