using System.Runtime.InteropServices;
using System.Text;

namespace Proxy.Workflows.Systemd;

/// <summary>Reads the system's journal, if there is one and this process may: it needs the group <c>systemd-journal</c>.</summary>
internal static unsafe partial class UnitJournal
{
    private const int LocalOnly = 1;
    private const int Longest = 500;

    /// <summary>The last line that the processes of a unit wrote to their outputs or to the log; null: there is none, or it cannot be read.</summary>
    public static string? LastLine(string unit)
    {
        try
        {
            if (Open(out var journal, LocalOnly) < 0) return null;
            try
            {
                var match = Encoding.ASCII.GetBytes("_SYSTEMD_UNIT=" + unit);
                if (Match(journal, match, (nuint)match.Length) < 0 || SeekTail(journal) < 0 || Previous(journal) <= 0) return null;
                if (Data(journal, "MESSAGE", out var data, out var length) < 0) return null;
                var line = Encoding.UTF8.GetString(data, (int)Math.Min(length, Longest))["MESSAGE=".Length..].Trim();
                return line.Length > 0 ? line : null;
            }
            finally
            {
                Close(journal);
            }
        }
        catch (Exception problem) when (problem is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    private const string Library = "libsystemd.so.0";

    [LibraryImport(Library, EntryPoint = "sd_journal_open")]
    private static partial int Open(out nint journal, int flags);

    [LibraryImport(Library, EntryPoint = "sd_journal_add_match")]
    private static partial int Match(nint journal, byte[] data, nuint length);

    [LibraryImport(Library, EntryPoint = "sd_journal_seek_tail")]
    private static partial int SeekTail(nint journal);

    [LibraryImport(Library, EntryPoint = "sd_journal_previous")]
    private static partial int Previous(nint journal);

    [LibraryImport(Library, EntryPoint = "sd_journal_get_data", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Data(nint journal, string field, out byte* data, out nuint length);

    [LibraryImport(Library, EntryPoint = "sd_journal_close")]
    private static partial void Close(nint journal);
}
