using Proxy.Buffers;

namespace Proxy.Workflows;

/// <summary>Cuts what a job writes into lines.</summary>
internal sealed class JobLines : IDisposable
{
    /// <summary>Bytes of the longest line.</summary>
    public const int Longest = 1 << 20;

    private readonly PooledBody rest = new(256);

    /// <summary>Takes a piece and calls <paramref name="line"/> for every line that is complete.</summary>
    /// <param name="piece">What was written.</param>
    /// <param name="isWhole">The piece is a message: its last line needs no line end.</param>
    /// <param name="line">Gets each line that is not blank.</param>
    /// <returns>False: a line is longer than <see cref="Longest"/>.</returns>
    public bool Take(ReadOnlySpan<byte> piece, bool isWhole, LineHandler line)
    {
        while (piece.IndexOf((byte)'\n') is var end and >= 0)
        {
            if (rest.Length + end > Longest) return false;
            if (rest.Length == 0)
            {
                Give(piece[..end], line);
            }
            else
            {
                rest.Write(piece[..end]);
                Give(rest.Span, line);
                rest.Clear();
            }

            piece = piece[(end + 1)..];
        }

        if (isWhole) Give(piece, line);
        else if (rest.Length + piece.Length > Longest) return false;
        else rest.Write(piece);
        return true;
    }

    /// <summary>Gives the last line, which has no line end.</summary>
    public void End(LineHandler line)
    {
        Give(rest.Span, line);
        rest.Clear();
    }

    public void Dispose() => rest.Dispose();

    private static void Give(ReadOnlySpan<byte> whole, LineHandler line)
    {
        if (!whole.Trim(" \t\r"u8).IsEmpty) line(whole);
    }
}

/// <summary>Takes one line, which is valid only during the call.</summary>
internal delegate void LineHandler(ReadOnlySpan<byte> line);
