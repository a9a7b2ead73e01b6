using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads tables of separated values (RFC 4180): one block for each row.</summary>
internal static class CsvText
{
    /// <summary>Characters of a quoted cell. A longer one is not a cell but a quotation mark that was never closed.</summary>
    private const int CellLength = 256 << 10;

    private static readonly char[] Separators = [',', ';', '\t', '|'];

    /// <param name="text">The file.</param>
    /// <param name="separator">Null: found in the first line.</param>
    /// <param name="blocks">Where the rows go.</param>
    public static void Read(TextReader text, char? separator, BlockList blocks)
    {
        var input = new CharReader(text);
        var rows = new TableRows(blocks);
        var divider = separator ?? FindSeparator(input.FirstLine());
        var row = new List<string>();
        var cell = new StringBuilder();
        while (ReadRow(input, divider, row, cell))
        {
            blocks.Guard.Step();
            rows.Add(row);
        }

        rows.End();
    }

    /// <summary>The separator that the first line has most often outside of quotation marks.</summary>
    private static char FindSeparator(string line)
    {
        var counts = new int[Separators.Length];
        var quoted = false;
        foreach (var c in line)
        {
            if (c == '"') quoted = !quoted;
            else if (!quoted && Array.IndexOf(Separators, c) is >= 0 and var which) counts[which]++;
        }

        return Separators[Array.IndexOf(counts, counts.Max())];
    }

    /// <summary>False at the end of the file.</summary>
    private static bool ReadRow(CharReader input, char separator, List<string> row, StringBuilder cell)
    {
        row.Clear();
        cell.Clear();
        if (input.Peek() < 0) return false;
        var quoted = false;
        while (true)
        {
            var c = input.Read();
            // A quotation mark that is never closed: what follows is read as if there were none.
            if (cell.Length >= CellLength) quoted = false;
            if (quoted && c >= 0)
            {
                if (c != '"') cell.Append((char)c);
                else if (input.Peek() == '"') cell.Append((char)input.Read());
                else quoted = false;
            }
            else if (c == '"' && cell.Length == 0) quoted = true;
            else if (c == separator) EndCell();
            else if (c is < 0 or '\n' or '\r')
            {
                if (c == '\r' && input.Peek() == '\n') input.Read();
                EndCell();
                return true;
            }
            else
            {
                if (cell.Length >= 2 * CellLength && (c == ' ' || cell.Length >= 4 * CellLength)) EndCell();
                cell.Append((char)c);
            }
        }

        void EndCell()
        {
            if (row.Count == DocumentLimits.Columns)
                throw new DocumentException(DocumentFault.Invalid, $"a row has more than {DocumentLimits.Columns:N0} columns");
            row.Add(cell.ToString());
            cell.Clear();
            quoted = false;
        }
    }

    private sealed class CharReader(TextReader text)
    {
        private readonly char[] buffer = new char[16 << 10];
        private int at, end;

        public int Peek() => at < end || Fill() ? buffer[at] : -1;

        public int Read() => at < end || Fill() ? buffer[at++] : -1;

        /// <summary>The first line, or what of it is in the buffer, without consuming it.</summary>
        public string FirstLine()
        {
            if (Peek() < 0) return "";
            var all = buffer.AsSpan(at, end - at);
            var stop = all.IndexOfAny('\n', '\r');
            return new(stop < 0 ? all : all[..stop]);
        }

        private bool Fill()
        {
            (at, end) = (0, Math.Max(text.Read(buffer, 0, buffer.Length), 0));
            return end > 0;
        }
    }
}
