using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// Converts texts to the token ids of one model by its <c>tokenizer.json</c> (<see cref="TokenizerFile"/>). Immutable and thread-safe.
/// A lone surrogate counts as U+FFFD.
/// </summary>
internal sealed class Tokenizer
{
    private readonly Normalizer? normalizer;
    private readonly PreTokenizer? preTokenizer;
    private readonly PieceModel model;
    private readonly PostProcessor post;
    private readonly TokenDecoder decoder;
    private readonly Vocabulary vocabulary;
    private readonly AddedTokens added;
    private readonly AddedTokens addedNormalized;
    private readonly Dictionary<int, AddedToken> byId;

    internal Tokenizer(Normalizer? normalizer, PreTokenizer? preTokenizer, PieceModel model, PostProcessor post, TokenDecoder decoder, Vocabulary vocabulary,
        IReadOnlyList<AddedToken> addedTokens)
    {
        (this.normalizer, this.preTokenizer, this.model, this.post, this.decoder, this.vocabulary) = (
            normalizer, preTokenizer, model, post, decoder, vocabulary);
        added = new(addedTokens.Where(token => !token.Normalized).Select(token => (token.Content, token)));
        addedNormalized = new(addedTokens.Where(token => token.Normalized).Select(token => (Normalize(token.Content), token)));
        byId = [];
        foreach (var token in addedTokens) byId[token.Id] = token;
    }

    /// <summary>The largest id plus one.</summary>
    public int Size => Math.Max(vocabulary.Size, byId.Count == 0 ? 0 : byId.Keys.Max() + 1);

    /// <summary>The padding token for batches; null if the file names none.</summary>
    public int? PaddingId { get; init; }

    /// <summary>The id of the token for text that the vocabulary lacks; -1 if the model has none.</summary>
    public int UnknownId => model.UnknownId;

    /// <summary>Number of special tokens that are added to one text, or to a pair.</summary>
    public int SpecialCount(bool pair) => post.SpecialCount(pair);

    /// <summary>The id of a token; null if there is none.</summary>
    public int? IdOf(string token) => byId.Values.FirstOrDefault(t => t.Content == token)?.Id ?? (model.IdOf(token) is var id and >= 0 ? id : null);

    /// <summary>The token's text in the vocabulary; null if there is no such id.</summary>
    public string? TextOf(int id) => byId.TryGetValue(id, out var token) ? token.Content : vocabulary[id];

    /// <summary>Whether the file calls the token special.</summary>
    public bool IsSpecial(int id) => byId.TryGetValue(id, out var token) && token.Special;

    /// <summary>The text of the tokens, close enough to the original to be read.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true)
    {
        var tokens = new List<string>(ids.Length);
        foreach (var id in ids)
        {
            if (skipSpecial && IsSpecial(id)) continue;
            if (TextOf(id) is { } text) tokens.Add(text);
        }

        return decoder.Decode(tokens);
    }

    /// <summary>Number of tokens in a text. Allocates nothing after the first calls.</summary>
    public int CountTokens(ReadOnlySpan<char> text, bool specialTokens = true)
    {
        var scratch = TextScratch.Rent();
        Run(scratch, text, scratch.First, tracking: false);
        var count = scratch.First.Count + (specialTokens ? SpecialCount(pair: false) : 0);
        scratch.Return();
        return count;
    }

    /// <summary>Encodes one text into <paramref name="output"/>, replacing its content.</summary>
    public void Encode(ReadOnlySpan<char> text, EncodeOptions options, TokenList output)
    {
        var scratch = TextScratch.Rent();
        Run(scratch, text, scratch.First, options.Offsets);
        scratch.Second.Clear(options.Offsets);
        var room = Math.Max(0, options.MaxLength - (options.SpecialTokens ? SpecialCount(pair: false) : 0));
        Assemble(post.Single, scratch, Math.Min(scratch.First.Count, room), 0, options, output);
        if (options.Offsets) ToBytes(output, text, default);
        scratch.Return();
    }

    /// <summary>Encodes a pair of texts, such as a cross-encoder's query and document, into <paramref name="output"/>, replacing its content.</summary>
    public void Encode(ReadOnlySpan<char> text, ReadOnlySpan<char> second, EncodeOptions options, TokenList output)
    {
        var scratch = TextScratch.Rent();
        Run(scratch, text, scratch.First, options.Offsets);
        Run(scratch, second, scratch.Second, options.Offsets);
        var room = Math.Max(0, options.MaxLength - (options.SpecialTokens ? SpecialCount(pair: true) : 0));
        var (one, two) = Share(scratch.First.Count, scratch.Second.Count, room, options.Pair);
        Assemble(post.Pair, scratch, one, two, options, output);
        if (options.Offsets) ToBytes(output, text, second);
        scratch.Return();
    }

    /// <summary>Number of tokens that each text of a pair keeps. <see cref="PairCut.OnlySecond"/> cuts the first too if it alone is too long.</summary>
    internal static (int First, int Second) Share(int first, int second, int room, PairCut cut)
    {
        if ((long)first + second <= room) return (first, second);
        if (cut == PairCut.OnlySecond) return (Math.Min(first, room), Math.Max(0, room - first));
        var (small, large) = (Math.Min(first, second), Math.Max(first, second));
        large = Math.Min(large, small > room ? small : Math.Max(small, room - small));
        if (small + large > room) (small, large) = (room / 2, room - room / 2);
        return first <= second ? (small, large) : (large, small);
    }

    private string Normalize(string content)
    {
        if (normalizer is null) return content;
        var scratch = TextScratch.Rent();
        scratch.Text.Clear(tracking: false);
        scratch.Text.Load(content, 0);
        normalizer.Apply(scratch);
        var normalized = scratch.Text.Chars.ToString();
        scratch.Return();
        return normalized;
    }

    private void Run(TextScratch scratch, ReadOnlySpan<char> text, TokenRun output, bool tracking)
    {
        output.Clear(tracking);
        var done = 0;
        while (added.Any && added.TryFind(text, done, done, out var match))
        {
            RunText(scratch, text[done..match.Start], done, output);
            output.Add(match.Token.Id, match.Start, match.End);
            done = match.End;
        }

        RunText(scratch, text[done..], done, output);
        if (tracking && post.TrimOffsets) TrimSpaces(output);
    }

    private void RunText(TextScratch scratch, ReadOnlySpan<char> text, int start, TokenRun output)
    {
        if (text.IsEmpty) return;
        scratch.Text.Clear(output.Tracking);
        scratch.Text.Load(text, start);
        normalizer?.Apply(scratch);
        Cut(scratch);
        preTokenizer?.Split(scratch, first: start == 0);
        foreach (var piece in scratch.Pieces.Items)
        {
            if (piece.Token == PieceList.Text) model.Encode(scratch, piece.Start, piece.End, output);
            else if (piece.End > piece.Start) output.Add(piece.Token, scratch.Text, piece.Start, piece.End);
        }
    }

    /// <summary>Splits the normalised text into added tokens and the text between them.</summary>
    private void Cut(TextScratch scratch)
    {
        scratch.Pieces.Clear();
        var text = scratch.Text.Chars;
        var done = 0;
        while (addedNormalized.Any && addedNormalized.TryFind(text, done, done, out var match))
        {
            scratch.Pieces.Add(done, match.Start);
            scratch.Pieces.Add(match.Start, match.End, match.Token.Id);
            done = match.End;
        }

        scratch.Pieces.Add(done, text.Length);
    }

    private static void Assemble(PostProcessor.Part[] template, TextScratch scratch, int first, int second, EncodeOptions options, TokenList output)
    {
        var special = options.SpecialTokens ? PostProcessor.SpecialCount(template) : 0;
        output.Start(options.Offsets, first + second + special, scratch.First.Count + scratch.Second.Count + special);
        foreach (var part in template)
        {
            if (part.Source == PostProcessor.Source.Special)
            {
                if (!options.SpecialTokens) continue;
                foreach (var id in part.Ids) output.AddSpecial(id, part.Type);
                continue;
            }

            var (run, length) = part.Source == PostProcessor.Source.First ? (scratch.First, first) : (scratch.Second, second);
            var from = options.Cut == CutSide.Right ? 0 : run.Count - length;
            var at = output.Count;
            output.Add(run.Ids.Slice(from, length), part.Type);
            if (!options.Offsets) continue;
            for (var i = 0; i < length; i++)
            {
                var (start, end) = run.Offsets(from + i);
                // Offsets of the second text are marked as negative until both are converted to bytes.
                if (part.Source == PostProcessor.Source.Second) (start, end) = (-2 - start, -2 - end);
                output.SetOffsets(at + i, start, end);
            }
        }
    }

    /// <summary>
    /// As in the reference, trims by the spaces with which the token is spelt. A space before the first token is kept if the file adds one there, even if the
    /// text
    /// already had it.
    /// </summary>
    private void TrimSpaces(TokenRun run)
    {
        for (var i = 0; i < run.Count; i++)
        {
            var spelling = TextOf(run.Ids[i]) ?? "";
            var (before, after) = (spelling.Length - spelling.TrimStart(Alphabet.Space).Length, spelling.Length - spelling.TrimEnd(Alphabet.Space).Length);
            var (start, end) = run.Offsets(i);
            if (before == 1 && post.PrefixSpace && (i == 0 || start == 0)) before = 0;
            start = Math.Min(start + before, end);
            run.Trim(i, start, Math.Max(end - after, start));
        }
    }

    private static void ToBytes(TokenList output, ReadOnlySpan<char> first, ReadOnlySpan<char> second)
    {
        var (one, two) = (ByteIndex(first), ByteIndex(second));
        for (var i = 0; i < output.Count; i++)
        {
            var (start, stop) = output.Offsets[i];
            if (start == -1) continue;
            if (start < 0) output.SetOffsets(i, two[-2 - start], two[-2 - stop]);
            else output.SetOffsets(i, one[start], one[stop]);
        }
    }

    private static int[] ByteIndex(ReadOnlySpan<char> text)
    {
        var bytes = new int[text.Length + 1];
        var count = 0;
        for (var i = 0; i < text.Length;)
        {
            bytes[i] = count;
            Rune.DecodeFromUtf16(text[i..], out var rune, out var length);
            for (var k = 1; k < length; k++) bytes[i + k] = count;
            count += rune.Utf8SequenceLength;
            i += length;
        }

        bytes[text.Length] = count;
        return bytes;
    }
}
