using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>
/// Reads source code and configuration: blocks end at an empty line that is followed by a line without indentation, where a declaration begins. A longer block
/// ends at any empty line.
/// </summary>
internal static class CodeText
{
    /// <summary>Characters after which a block ends at any empty line, and those after which it ends at any line.</summary>
    private const int Long = 1500, VeryLong = 4000;

    /// <summary>Characters below which a block is joined with the next one, for example single lines between empty ones.</summary>
    private const int Short = 200;

    public static void Read(TextReader text, BlockList blocks)
    {
        var lines = new LineReader(text);
        var block = new StringBuilder();
        var empty = 0;
        while (lines.Next() is { } line)
        {
            blocks.Guard.Step();
            if (string.IsNullOrWhiteSpace(line))
            {
                empty++;
                continue;
            }

            var topLevel = empty > 0 && !char.IsWhiteSpace(line[0]) && line[0] is not ('}' or ')' or ']') && block.Length >= Short;
            if (topLevel || (empty > 0 && block.Length > Long) || block.Length + line.Length > VeryLong) End();
            if (block.Length > 0) block.Append('\n', Math.Min(empty, 1));
            block.Append(line.AsSpan().TrimEnd()).Append('\n');
            empty = 0;
        }

        End();

        void End()
        {
            if (block.Length > 0) blocks.Add(block.ToString(), isVerbatim: true);
            block.Clear();
        }
    }
}
