using System.Globalization;
using System.Text;

namespace Proxy.Transport.Http1;

/// <summary>The Date header line, formatted once a second.</summary>
internal sealed class HttpDate(TimeProvider time)
{
    private Written last = new(0, []);

    public ReadOnlySpan<byte> Line
    {
        get
        {
            var now = time.GetUtcNow();
            var second = now.UtcTicks / TimeSpan.TicksPerSecond;
            var written = Volatile.Read(ref last);
            if (written.Second != second)
            {
                written = new(second, Encoding.ASCII.GetBytes($"Date: {now.ToString("r", CultureInfo.InvariantCulture)}\r\n"));
                Volatile.Write(ref last, written);
            }

            return written.Line;
        }
    }

    private sealed record Written(long Second, byte[] Line);
}
