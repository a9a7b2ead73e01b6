using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads plain text: paragraphs are separated by empty lines.</summary>
internal static class PlainText
{
    /// <summary>Characters after which a paragraph without an empty line, for example of a log, is ended at its next line.</summary>
    private const int LongParagraph = 4000;

    public static void Read(TextReader text, BlockList blocks)
    {
        var lines = new LineReader(text);
        var paragraph = new StringBuilder();
        while (lines.Next() is { } line)
        {
            blocks.Guard.Step();
            var isEmpty = string.IsNullOrWhiteSpace(line);
            if (isEmpty || paragraph.Length + line.Length > LongParagraph) End();
            if (!isEmpty) paragraph.Append(line).Append('\n');
        }

        End();

        void End()
        {
            if (paragraph.Length > 0) blocks.Add(paragraph.ToString());
            paragraph.Clear();
        }
    }
}
