using System.Security.Cryptography;

namespace Proxy.Http;

/// <summary>
/// Makes trace ids: 26 characters of Crockford's base32 that hold 48 bits of Unix milliseconds and 80 random bits, so that ids sort by time and cannot be
/// guessed. They are safe as a NATS token, as the name of a systemd unit and as a file name.
/// </summary>
internal static class TraceIds
{
    private const string Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    private const int PoolSize = 1000;
    [ThreadStatic] private static byte[]? pool;
    [ThreadStatic] private static int used;

    public static string Mint(TimeProvider time) => string.Create(26, time.GetUtcNow().ToUnixTimeMilliseconds(), static (text, milliseconds) =>
    {
        // The system's random generator costs a system call, so one call serves a hundred ids.
        var random = pool ??= new byte[PoolSize];
        if (used % PoolSize == 0)
        {
            RandomNumberGenerator.Fill(random);
            used = 0;
        }

        ulong high = BitConverter.ToUInt16(random, used), low = BitConverter.ToUInt64(random, used + 2);
        used += 10;
        Write(text[14..], low);
        Write(text[10..14], (high << 4) | (low >> 60));
        Write(text[..10], (ulong)milliseconds);
    });

    private static void Write(Span<char> text, ulong bits)
    {
        for (var i = text.Length - 1; i >= 0; i--, bits >>= 5) text[i] = Alphabet[(int)(bits & 31)];
    }
}
