namespace Proxy.Inference.Tokenizing;

internal static partial class TokenizerFile
{
    private static Normalizer ReadNormalizer(JsonPlace normalizer) => normalizer.Type switch
    {
        "Sequence" => new Normalizer.Sequence([.. normalizer["normalizers"].Items.Select(ReadNormalizer)]),
        "BertNormalizer" => new BertNormalizer(
            normalizer.Flag("clean_text", true), normalizer.Flag("handle_chinese_chars", true),
            normalizer.Flag("strip_accents", normalizer.Flag("lowercase", true)), normalizer.Flag("lowercase", true)),
        "NFC" => new Normalizer.Form(compatible: false, compose: true),
        "NFD" => new Normalizer.Form(compatible: false, compose: false),
        "NFKC" => new Normalizer.Form(compatible: true, compose: true),
        "NFKD" => new Normalizer.Form(compatible: true, compose: false),
        "Lowercase" => new Normalizer.Lowercase(),
        "StripAccents" => new Normalizer.StripAccents(),
        "Strip" => new StripNormalizer(normalizer.Flag("strip_left", true), normalizer.Flag("strip_right", true)),
        "Replace" => new ReplaceNormalizer(ReadPattern(normalizer["pattern"]), normalizer["content"].Text),
        "Prepend" => new PrependNormalizer(normalizer["prepend"].Text),
        "Nmt" => new NmtNormalizer(),
        "ByteLevel" => new ByteLevelNormalizer(),
        "Precompiled" => ReadPrecompiled(normalizer["precompiled_charsmap"]),
        var type => throw normalizer.Unknown(type),
    };

    private static PrecompiledNormalizer ReadPrecompiled(JsonPlace map)
    {
        try
        {
            return new(Convert.FromBase64String(map.Text));
        }
        catch (FormatException)
        {
            throw map.Wrong("is not base64");
        }
        catch (TokenizerException error)
        {
            throw map.Wrong(error.Message);
        }
    }

    private static PreTokenizer ReadPreTokenizer(JsonPlace preTokenizer) => preTokenizer.Type switch
    {
        "Sequence" => new PreTokenizer.Sequence([.. preTokenizer["pretokenizers"].Items.Select(ReadPreTokenizer)]),
        "BertPreTokenizer" => new PreTokenizer.Bert(),
        "Whitespace" => new WhitespacePreTokenizer(),
        "WhitespaceSplit" => new SplitPreTokenizer(new SplitPattern.Each(UnicodeData.IsWhiteSpace), SplitBehavior.Removed, invert: false),
        "Punctuation" => new SplitPreTokenizer(
            new SplitPattern.Each(UnicodeData.IsPunctuation), ReadBehavior(preTokenizer.Optional("behavior")), invert: false),
        "Digits" => new SplitPreTokenizer(
            new SplitPattern.Each(
                UnicodeData.IsNumeric), preTokenizer.Flag("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous, invert: false),
        "CharDelimiterSplit" => new SplitPreTokenizer(new SplitPattern.Literal(preTokenizer["delimiter"].Text), SplitBehavior.Removed, invert: false),
        "FixedLength" => new FixedLengthPreTokenizer(preTokenizer.Optional("length") is { IsNull: false } length ? Math.Max(1, length.Number) : 5),
        "Split" => new SplitPreTokenizer(ReadPattern(preTokenizer["pattern"]), ReadBehavior(preTokenizer["behavior"]), preTokenizer.Flag("invert", false)),
        "ByteLevel" => new ByteLevelPreTokenizer(preTokenizer.Flag("add_prefix_space", true), preTokenizer.Flag("use_regex", true)),
        "Metaspace" => new MetaspacePreTokenizer(ReadSign(preTokenizer), ReadScheme(preTokenizer), preTokenizer.Flag("split", true)),
        var type => throw preTokenizer.Unknown(type),
    };

    private static SplitBehavior ReadBehavior(JsonPlace behavior) => behavior.IsNull ? SplitBehavior.Isolated : behavior.Text switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        var other => throw behavior.Wrong($"'{other}' is not known"),
    };

    private static SplitPattern ReadPattern(JsonPlace pattern)
    {
        if (pattern.TextOrNull("String") is { } literal) return new SplitPattern.Literal(literal);
        var expression = pattern["Regex"];
        if (WordPattern.For(expression.Text) is { } known) return known;
        try
        {
            return new SplitPattern.Expression(Oniguruma.Translate(expression.Text));
        }
        catch (ArgumentException error)
        {
            throw expression.Wrong($"is an expression that cannot be used: {error.Message}");
        }
    }

    private static char ReadSign(JsonPlace metaspace) => metaspace.TextOrNull("replacement") switch
    {
        null => '\u2581',
        [var sign] => sign,
        _ => throw metaspace["replacement"].Wrong("is not one char"),
    };

    /// <summary>Old files have add_prefix_space instead.</summary>
    private static PrependScheme ReadScheme(JsonPlace metaspace) => metaspace.TextOrNull("prepend_scheme") switch
    {
        "never" => PrependScheme.Never,
        _ when !metaspace.Flag("add_prefix_space", true) => PrependScheme.Never,
        "first" => PrependScheme.First,
        "always" or null => PrependScheme.Always,
        var other => throw metaspace["prepend_scheme"].Wrong($"'{other}' is not known"),
    };

    private static TokenDecoder ReadDecoder(JsonPlace decoder) => decoder.Type switch
    {
        "Sequence" => new TokenDecoder.Sequence([.. decoder["decoders"].Items.Select(ReadDecoder)]),
        "WordPiece" => new TokenDecoder.WordPiece(decoder.TextOrNull("prefix") ?? "##", decoder.Flag("cleanup", true)),
        "ByteLevel" => new TokenDecoder.ByteLevel(),
        "Metaspace" => new TokenDecoder.Metaspace(ReadSign(decoder), ReadScheme(decoder)),
        "BPEDecoder" => new TokenDecoder.Bpe(decoder.TextOrNull("suffix") ?? "</w>"),
        "ByteFallback" => new TokenDecoder.ByteFallback(),
        "Fuse" => new TokenDecoder.Fuse(),
        "Replace" when decoder["pattern"].TextOrNull("String") is { } pattern => new TokenDecoder.Replace(pattern, decoder["content"].Text),
        "Strip" => new TokenDecoder.Strip(decoder["content"].Text, decoder["start"].Number, decoder["stop"].Number),
        var type => throw decoder.Unknown(type),
    };
}
