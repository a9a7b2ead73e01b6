using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>Tokens back to text. Immutable.</summary>
internal abstract class TokenDecoder
{
    public abstract string Decode(IReadOnlyList<string> tokens);

    /// <summary>For a file that names none: one after another, with a space between.</summary>
    internal sealed class Spaced : TokenDecoder
    {
        public override string Decode(IReadOnlyList<string> tokens) => string.Join(' ', tokens);
    }

    /// <summary>BERT's: pieces that go on a word are joined to it; spaces before punctuation go.</summary>
    internal sealed class WordPiece(string prefix, bool cleanUp) : TokenDecoder
    {
        private static readonly (string, string)[] Untidy = [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")];

        public override string Decode(IReadOnlyList<string> tokens)
        {
            var text = new StringBuilder();
            for (var i = 0; i < tokens.Count; i++)
            {
                var token = tokens[i];
                if (i > 0) token = token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : " " + token;
                if (cleanUp)
                {
                    foreach (var (untidy, tidy) in Untidy) token = token.Replace(untidy, tidy, StringComparison.Ordinal);
                }

                text.Append(token);
            }

            return text.ToString();
        }
    }
}
