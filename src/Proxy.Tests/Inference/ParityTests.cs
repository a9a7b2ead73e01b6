using System.Numerics.Tensors;
using Proxy.Inference;
using Proxy.Vectors;
using static Proxy.Tests.Inference.TestModels;

namespace Proxy.Tests.Inference;

/// <summary>Compares with the answers of onnxruntime and the reference tokenizers, line by line: Models/README.md.</summary>
public sealed class ParityTests
{
    [Theory]
    [InlineData("tiny-unigram-embed")]
    [InlineData("tiny-bpe-embed")]
    public async Task Every_vector_Is_the_reference_s(string name)
    {
        var lines = Lines(name, "golden.jsonl").Where(static line => line.Vector() is not null).ToArray();
        var model = name.Contains("bpe") ? Bpe : Unigram;

        var (vectors, error) = await model.EmbedAsync(new([.. lines.Select(static line => new EmbedInput(line.Said("text")))]),
            TestContext.Current.CancellationToken);

        Assert.Null(error);
        Assert.True(lines.Length > 400, "the lines were not read");
        var wrong = lines.Select((line, i) => (text: line.Said("text"), off: TensorPrimitives.Distance(line.Vector()!, vectors![i])))
            .Where(static line => !(line.off < 1e-4)).ToArray();
        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Bundled_model_Words_outside_its_vocabulary_Are_marked()
    {
        var (tokens, error) = await Bundled.TokenizeAsync(["hello ᚠᚢᚦ world"], special: false, TestContext.Current.CancellationToken);

        Assert.Null(error);
        Assert.Equal([("hello", false), ("ᚠᚢᚦ", true), ("world", false)], tokens!.Single().Select(static token => (token.Text, token.IsUnknown)));
    }

    [Fact]
    public async Task Bundled_model_Every_vector_Is_near_the_reference_s()
    {
        var lines = Lines("all-minilm-q4", "golden.jsonl").ToArray();

        var (vectors, error) = await Bundled.EmbedAsync(new([.. lines.Select(static line => new EmbedInput(line.Said("text")))]) { Truncate = true },
            TestContext.Current.CancellationToken);

        Assert.Null(error);
        Assert.Equal(12, lines.Length);
        var near = lines.Select((line, i) => (text: line.Said("text"), cosine: TensorPrimitives.CosineSimilarity(line.Vector()!, vectors![i]))).ToArray();
        Assert.Empty(near.Where(static line => !(line.cosine >= 0.999f)).ToArray());
        Assert.All(Enumerable.Range(0, vectors!.Count), i => Assert.Equal(1, TensorPrimitives.Norm(vectors[i]), 1e-5));
    }

    [Fact]
    public async Task Bundled_model_A_text_has_the_same_vector_whatever_shares_its_batch()
    {
        var texts = Lines("all-MiniLM-L6-v2", "golden.jsonl").Select(static line => line.Said("text")).ToArray();

        var (together, _) = await Bundled.EmbedAsync(new([.. texts.Select(static text => new EmbedInput(text))]) { Truncate = true },
            TestContext.Current.CancellationToken);

        var wrong = new List<string>();
        foreach (var (text, i) in texts.Select(static (text, i) => (text, i)).Where(static entry => entry.i % 7 == 0))
        {
            var (alone, _) = await Bundled.EmbedAsync(new([new(text)]) { Truncate = true }, TestContext.Current.CancellationToken);
            var off = 1 - TensorPrimitives.CosineSimilarity(alone![0], together![i]);
            if (!(off <= 1e-5)) wrong.Add($"{off}: {text}");
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Every_pair_Has_the_reference_s_logit()
    {
        var wrong = new List<string>();
        var seen = 0;
        foreach (var group in Lines("tiny-wordpiece-rerank", "golden-pairs.jsonl").GroupBy(static line => line.Said("query")))
        {
            var documents = group.ToArray();
            seen += documents.Length;

            var (scores, error) = await Rerank.ScoreAsync(new(group.Key, [.. documents.Select(static line => line.Said("document"))]) { RawScores = true },
                TestContext.Current.CancellationToken);

            Assert.Null(error);
            Assert.Equal(RerankMethod.CrossEncoder, scores!.Method);
            wrong.AddRange(documents.Where((line, i) => !(Math.Abs(line.GetProperty("logit").GetSingle() - scores.Scores[i]) < 1e-4))
                .Select(static line => line.Said("document")));
        }

        Assert.Equal(299, seen);
        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Every_late_interaction_Has_the_reference_s_score_and_rows()
    {
        var wrong = new List<string>();
        var seen = 0;
        foreach (var line in Lines("tiny-wordpiece-colbert", "golden-maxsim.jsonl"))
        {
            var (query, document) = (line.Said("query"), line.Said("document"));
            seen++;

            var (scores, error) = await Colbert.ScoreAsync(new(query, [document]) { RawScores = true }, TestContext.Current.CancellationToken);
            var (asked, _) = await Colbert.EmbedTokensAsync(new([new(query)]) { Prompt = PromptKind.Query, Truncate = true },
                TestContext.Current.CancellationToken);
            var (offered, _) = await Colbert.EmbedTokensAsync(new([new(document)]) { Prompt = PromptKind.Document, Truncate = true },
                TestContext.Current.CancellationToken);

            Assert.Null(error);
            if (!(Math.Abs(line.GetProperty("score").GetSingle() - scores!.Scores[0]) < 1e-4))
                wrong.Add($"score {scores.Scores[0]}, reference {line.GetProperty("score")}: {query} | {document}");
            if (asked!.Matrices[0].Length != 32 * 64) wrong.Add($"{asked.Matrices[0].Length / 64} query rows: {query}");
            if (offered!.Matrices[0].Length != line.GetProperty("kept").GetInt32() * 64) wrong.Add($"{offered.Matrices[0].Length / 64} rows kept: {document}");
        }

        Assert.Equal(150, seen);
        Assert.Empty(wrong);
    }

    [Fact]
    public void MaxSim_Is_the_plain_double_loop_s()
    {
        const int Width = 24;
        var random = new Random(5);
        float[] query = [.. Enumerable.Range(0, 32 * Width).Select(_ => random.NextSingle() - 0.5f)];
        float[] document = [.. Enumerable.Range(0, 57 * Width).Select(_ => random.NextSingle() - 0.5f)];
        var plain = 0.0;
        for (var q = 0; q < 32; q++)
        {
            var best = double.NegativeInfinity;
            for (var d = 0; d < 57; d++)
            {
                var dot = 0.0;
                for (var i = 0; i < Width; i++) dot += (double)query[q * Width + i] * document[d * Width + i];
                best = Math.Max(best, dot);
            }

            plain += best;
        }

        Assert.Equal(plain, LateInteractionModel.MaxSim(query, document, Width), 1e-4);
    }
}
