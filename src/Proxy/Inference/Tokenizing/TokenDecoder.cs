using System.Globalization;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>Converts tokens back to text: each step rewrites the list, and the last leaves one text. Immutable.</summary>
internal abstract class TokenDecoder
{
    public string Decode(IReadOnlyList<string> tokens) => string.Concat(Apply(tokens));

    protected abstract IReadOnlyList<string> Apply(IReadOnlyList<string> tokens);

    internal sealed class Sequence(TokenDecoder[] steps) : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) => steps.Aggregate(tokens, (list, step) => step.Apply(list));
    }

    /// <summary>For a file without a decoder: joins tokens with spaces.</summary>
    internal sealed class Spaced : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) => [string.Join(' ', tokens)];
    }

    internal sealed class Fuse : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) => [string.Concat(tokens)];
    }

    /// <summary>BERT's: joins the pieces of a word and removes spaces before punctuation.</summary>
    internal sealed class WordPiece(string prefix, bool cleanUp) : TokenDecoder
    {
        private static readonly (string, string)[] Untidy =
            [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"),
                (" 've", "'ve"), (" 're", "'re")];

        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) => [.. tokens.Select((token, index) =>
        {
            if (index > 0) token = token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : " " + token;
            return cleanUp ? Untidy.Aggregate(token, (text, pair) => text.Replace(pair.Item1, pair.Item2, StringComparison.Ordinal)) : token;
        })];
    }

    /// <summary>Converts every letter back to its byte: <see cref="Alphabet"/>.</summary>
    internal sealed class ByteLevel : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens)
        {
            var bytes = new List<byte>();
            foreach (var token in tokens)
            {
                if (token.All(c => Alphabet.TryByte(c, out _))) bytes.AddRange(token.Select(c => Alphabet.TryByte(c, out var value) ? value : default));
                else bytes.AddRange(Encoding.UTF8.GetBytes(token));
            }

            return [Encoding.UTF8.GetString([.. bytes])];
        }
    }

    /// <summary>Converts signs back to spaces; the one at the front is removed, because it was not in the text.</summary>
    internal sealed class Metaspace(char sign, PrependScheme scheme) : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) =>
            [.. tokens.Select((token, index) => index == 0 && scheme != PrependScheme.Never
                ? token.Replace(sign.ToString(), "", StringComparison.Ordinal) : token.Replace(sign, ' '))];
    }

    /// <summary>Replaces the suffix of a word's last piece by a space, except at the end.</summary>
    internal sealed class Bpe(string suffix) : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) =>
            [.. tokens.Select(
                (token, index) => suffix.Length == 0 ? token : token.Replace(suffix, index == tokens.Count - 1 ? "" : " ", StringComparison.Ordinal))];
    }

    /// <summary>Joins consecutive tokens of single bytes to text; each becomes U+FFFD if they are not valid UTF-8.</summary>
    internal sealed class ByteFallback : TokenDecoder
    {
        private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens)
        {
            var texts = new List<string>();
            var bytes = new List<byte>();
            foreach (var token in tokens)
            {
                if (token is ['<', '0', 'x', _, _, '>']
                    && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value))
                {
                    bytes.Add(value);
                    continue;
                }

                Flush();
                texts.Add(token);
            }

            Flush();
            return texts;

            void Flush()
            {
                try
                {
                    if (bytes.Count > 0) texts.Add(Strict.GetString([.. bytes]));
                }
                catch (DecoderFallbackException)
                {
                    texts.Add(new('\uFFFD', bytes.Count));
                }

                bytes.Clear();
            }
        }
    }

    internal sealed class Replace(string pattern, string content) : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) =>
            pattern.Length == 0 ? tokens : [.. tokens.Select(token => token.Replace(pattern, content, StringComparison.Ordinal))];
    }

    /// <summary>Removes up to a number of chars from the ends of each token.</summary>
    internal sealed class Strip(string content, int start, int stop) : TokenDecoder
    {
        protected override IReadOnlyList<string> Apply(IReadOnlyList<string> tokens) => [.. tokens.Select(token =>
        {
            if (content.Length == 0) return token;
            for (var i = 0; i < start && token.StartsWith(content, StringComparison.Ordinal); i++) token = token[content.Length..];
            for (var i = 0; i < stop && token.EndsWith(content, StringComparison.Ordinal); i++) token = token[..^content.Length];
            return token;
        })];
    }
}
