using Proxy.Documents;

namespace Proxy.Tests.Documents;

public sealed class ChunkerTests
{
    /// <summary>Counts words and each character of Chinese or Japanese, like a model of word pieces.</summary>
    private static readonly TokenCounter Words = static (texts, _) => new([.. texts.Select(CountWords)]);

    /// <summary>Counts every third character: spaces and line ends cost too, and the sum of parts is not the whole.</summary>
    private static readonly TokenCounter Characters = static (texts, _) => new([.. texts.Select(static text => (text.Length + 2) / 3)]);

    [Fact]
    public async Task Sections_Are_not_mixed()
    {
        var chunks = await CutAsync(new(100, 15), Words,
            "# One", Text(30, 'a'), "## Two", Text(40, 'b'), "", Text(40, 'c'), "# Three", Text(20, 'd'));

        Assert.Equal(["One", "One › Two", "Three"], chunks.Select(static chunk => chunk.Heading));
        Assert.Equal(80, chunks[1].Tokens);
    }

    [Fact]
    public async Task Very_short_sections_of_one_parent_Share_a_chunk_with_their_headings()
    {
        var chunks = await CutAsync(new(100, 15), Words,
            "# Top", Text(30, 'a'), "## Yes", "Says yes.", "## No", "Says no.", "### Deeper", "Says never.", "# Other", "Says other.");

        Assert.Equal(
            [("Top", Text(30, 'a')), ("Top", "Yes\nSays yes.\n\nNo\nSays no."), ("Top › No › Deeper", "Says never."), ("Other", "Says other.")],
            chunks.Select(static chunk => (chunk.Heading, chunk.Text)));
    }

    [Fact]
    public async Task Long_section_Is_cut_where_blocks_end_and_its_end_is_not_tiny()
    {
        var chunks = await CutAsync(new(100, 0), Words, [.. Enumerable.Range(0, 7).SelectMany(static i => new[] { Text(30, (char)('a' + i)), "" })]);

        Assert.Equal([90, 60, 60], chunks.Select(static chunk => chunk.Tokens));
    }

    [Fact]
    public async Task Long_paragraph_Is_cut_between_sentences_and_the_next_chunk_repeats_whole_sentences()
    {
        var sentences = Enumerable.Range(0, 40).Select(static i => $"Sentence {i} has exactly seven words here.").ToArray();
        var chunks = await CutAsync(new(50, 15), Words, string.Join(' ', sentences));

        Assert.All(chunks, static chunk => Assert.StartsWith("Sentence", chunk.Text, StringComparison.Ordinal));
        Assert.All(chunks, static chunk => Assert.EndsWith("here.", chunk.Text, StringComparison.Ordinal));
        for (var i = 1; i < chunks.Count; i++)
        {
            Assert.InRange(chunks[i].Start, chunks[i - 1].Start + 1, chunks[i - 1].End - 1);
            Assert.Contains(chunks[i].Text[..40], chunks[i - 1].Text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("Dr. Smith met J. Doe, i.e. him. He left at 5 p.m. sharp!", "Dr. Smith met J. Doe, i.e. him.", "He left at 5 p.m. sharp!")]
    [InlineData("Version 1.2.3 is out. See example.com now.", "Version 1.2.3 is out.", "See example.com now.")]
    [InlineData("He said \"Stop.\" Then he left?! Yes…", "He said \"Stop.\"", "Then he left?!", "Yes…")]
    [InlineData("これは文です。次の文！「三つ目。」終わり", "これは文です。", "次の文！", "「三つ目。」", "終わり")]
    [InlineData("Items:\n- one\n- two\n1. three\nand on", "Items:", "- one", "- two", "1. three\nand on")]
    [InlineData("ends. with small letters. And more.", "ends. with small letters.", "And more.")]
    public void Sentences_Are_found(string text, params string[] sentences) =>
        Assert.Equal(sentences, Proxy.Documents.Chunking.Sentences.Of(text).Select(range => text[range.From..range.To]));

    [Fact]
    public async Task Table_Repeats_its_head_and_rows_stay_whole()
    {
        var rows = Enumerable.Range(0, 60).Select(static i => $"name {i} | value {i} | and three words");
        var chunks = await CutAsync(new(60, 10), Words, ["| Key | Value | Remark |", "|--|--|--|", .. rows]);

        Assert.True(chunks.Count > 5);
        Assert.All(chunks, static chunk => Assert.StartsWith("Key | Value | Remark\n\nname", chunk.Text, StringComparison.Ordinal));
        Assert.All(chunks, static chunk => Assert.EndsWith("and three words", chunk.Text, StringComparison.Ordinal));
        Assert.Equal(60, chunks.Sum(static chunk => chunk.Text.Split("\n\n").Length - 1));
    }

    [Fact]
    public async Task Code_That_fits_stays_whole_and_else_is_cut_between_lines()
    {
        var chunks = await CutAsync(new(40, 10), Words, Text(25, 'a'), "```", Lines(8), "```", Text(25, 'b'), "```", Lines(40), "```");

        Assert.Contains(chunks, static chunk => chunk.Text == Lines(8));
        Assert.All(chunks.Skip(3), static chunk => Assert.All(chunk.Text.Split('\n'), static line => Assert.Equal(4, line.Split(' ').Length)));

        static string Lines(int count) => string.Join('\n', Enumerable.Range(0, count).Select(static i => $"let x{i} = {i};"));
    }

    [Theory]
    [InlineData(20, 3)]
    [InlineData(64, 0)]
    [InlineData(217, 32)]
    [InlineData(1, 0)]
    public async Task Any_text_No_chunk_is_too_long_and_every_word_is_in_one(int most, int overlap)
    {
        var random = new Random(7);
        for (var round = 0; round < 20; round++)
        {
            var lines = Enumerable.Range(0, 60).Select(_ => Line(random)).ToArray();
            foreach (var counter in new[] { Words, Characters })
            {
                if (most < 20 && counter == Characters) continue;
                await CheckAsync(SampleDocuments.Read(string.Join('\n', lines), "a.md"), new(most, overlap), counter);
            }
        }
    }

    [Fact]
    public async Task Word_without_end_Is_cut_between_characters()
    {
        var document = SampleDocuments.Read(SampleDocuments.Repeat("🙂é", 5_000), "a.txt");
        var chunks = await CheckAsync(document, new(50, 5), Characters);

        Assert.All(chunks, static chunk => Assert.False(char.IsLowSurrogate(chunk.Text[0]) || char.IsHighSurrogate(chunk.Text[^1])));
    }

    [Fact]
    public async Task Page_and_heading_Are_those_of_the_first_block()
    {
        var document = new DocumentText(null, [new(Text(30, 'a')) { Page = 3, Headings = ["A", "B"] }, new(Text(30, 'b')) { Page = 4, Headings = ["A", "B"] }]);
        var chunks = await ListAsync(document, new(100, 10), Words);

        Assert.Equal([(3, "A › B")], chunks.Select(static chunk => (chunk.Page ?? 0, chunk.Heading)));
    }

    [Fact]
    public async Task Counting_Takes_many_texts_at_a_time()
    {
        var calls = 0;
        var document = SampleDocuments.Read(SampleDocuments.Repeat("A short sentence of words. And one more here.\n\n", 5_000), "a.txt");
        await ListAsync(document, new(200, 30), (texts, cancellation) =>
        {
            calls++;
            return Words(texts, cancellation);
        });

        Assert.InRange(calls, 1, 150);
    }

    [Fact]
    public async Task Cancellation_Ends_the_cutting()
    {
        using var source = new CancellationTokenSource();
        await source.CancelAsync();
        var document = SampleDocuments.Read("text", "a.txt");
        TokenCounter counter = (texts, cancellation) => cancellation.IsCancellationRequested
            ? ValueTask.FromException<IReadOnlyList<int>>(new OperationCanceledException(cancellation)) : Words(texts, cancellation);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in Chunker.CutAsync(document, new(10, 0), counter, source.Token))
            {
            }
        });
    }

    /// <summary>What holds for all chunks of all documents.</summary>
    internal static async Task<List<Chunk>> CheckAsync(DocumentText document, ChunkLimits limits, TokenCounter counter)
    {
        var chunks = await ListAsync(document, limits, counter);
        Assert.Equal(chunks, await ListAsync(document, limits, counter));
        var text = string.Join("\n\n", document.Texts());
        var counts = await counter([.. chunks.Select(static chunk => chunk.Text)], default);
        Assert.Equal(counts, chunks.Select(static chunk => chunk.Tokens));
        Assert.All(chunks, chunk => Assert.InRange(chunk.Tokens, 1, limits.MaxTokens));
        Assert.All(chunks, chunk => Assert.EndsWith(text[chunk.Start..chunk.End].Split("\n\n")[^1], chunk.Text, StringComparison.Ordinal));
        if (!document.Blocks.Any(static block => block.TableHead is not null || block.Headings.Count > 1))
            Assert.All(chunks, chunk => Assert.Equal(text[chunk.Start..chunk.End], chunk.Text));

        // The ranges of the chunks leave nothing out but white space.
        var end = 0;
        foreach (var chunk in chunks)
        {
            if (chunk.Start > end) Assert.True(string.IsNullOrWhiteSpace(text[end..chunk.Start]), $"left out: {text[end..chunk.Start]}");
            Assert.True(chunk.End > end, "a chunk that only repeats");
            end = chunk.End;
        }

        Assert.Equal(text.Length, end);
        return chunks;
    }

    private static async Task<List<Chunk>> CutAsync(ChunkLimits limits, TokenCounter counter, params string[] lines) =>
        await CheckAsync(SampleDocuments.Read(string.Join('\n', lines), "a.md"), limits, counter);

    private static async Task<List<Chunk>> ListAsync(DocumentText document, ChunkLimits limits, TokenCounter counter)
    {
        var chunks = new List<Chunk>();
        await foreach (var chunk in Chunker.CutAsync(document, limits, counter, CancellationToken.None)) chunks.Add(chunk);
        return chunks;
    }

    private static int CountWords(string text)
    {
        var count = 0;
        var inWord = false;
        foreach (var c in text)
        {
            var isWide = c is >= '\u3000' and <= '\u9FFF';
            if (isWide || (!char.IsWhiteSpace(c) && !inWord)) count++;
            inWord = !isWide && !char.IsWhiteSpace(c);
        }

        return count;
    }

    /// <summary>A sentence of so many words.</summary>
    private static string Text(int words, char letter) => string.Join(' ', Enumerable.Repeat(new string(letter, 4), words)) + ".";

    private static string Line(Random random) => random.Next(12) switch
    {
        0 => $"{new string('#', random.Next(1, 4))} Heading {random.Next(5)}",
        1 or 2 => "",
        3 => "| a | b |\n|---|---|\n" + string.Join('\n', Enumerable.Range(0, random.Next(1, 20)).Select(i => $"| {i} | {Sentence(random)} |")),
        4 => "```\n" + string.Join('\n', Enumerable.Range(0, random.Next(1, 40)).Select(_ => "    " + Sentence(random))) + "\n```",
        5 => SampleDocuments.Repeat("これは日本語の文です。", random.Next(1, 30)),
        6 => "- " + Sentence(random),
        _ => string.Join(' ', Enumerable.Range(0, random.Next(1, 12)).Select(_ => Sentence(random))),
    };

    private static string Sentence(Random random)
    {
        var words = Enumerable.Range(0, random.Next(1, random.Next(10) == 0 ? 120 : 15)).Select(
            _ => new string((char)random.Next('a', 'z' + 1), random.Next(1, 9)));
        return "S" + string.Join(' ', words) + (random.Next(4) == 0 ? "?" : ".");
    }
}
