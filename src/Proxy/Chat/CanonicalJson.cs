using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Proxy.Chat;

/// <summary>
/// Writes JSON in the canonical form of RFC 8785 into a SHA-256 digest, a few KiB at a time: no white space, object members sorted by name, and text escaped
/// only where JSON requires it. Numbers differ from the RFC in one point: they keep all their digits (<see cref="CanonicalNumber"/>).
/// Members that the caller writes itself must come in the order of their names.
/// </summary>
internal sealed class CanonicalJson : IDisposable
{
    private const int Room = 4096;

    private static readonly SearchValues<char> Escaped = SearchValues.Create([.. Enumerable.Range(0, 32).Select(static code => (char)code), '"', '\\']);

    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly byte[] buffer = new byte[Room];
    private readonly Stream? copy;
    private int used;
    private bool needsComma;

    /// <param name="copy">Gets the text too, for tests; null: none.</param>
    public CanonicalJson(Stream? copy = null) => this.copy = copy;

    public CanonicalJson StartObject() => Start((byte)'{');

    public CanonicalJson EndObject() => End((byte)'}');

    public CanonicalJson StartList() => Start((byte)'[');

    public CanonicalJson EndList() => End((byte)']');

    public CanonicalJson Name(string name)
    {
        Text(name);
        Put((byte)':');
        needsComma = false;
        return this;
    }

    public CanonicalJson Text(string value)
    {
        Begin();
        Put((byte)'"');
        for (var rest = value.AsSpan(); !rest.IsEmpty;)
        {
            var plain = rest.IndexOfAny(Escaped);
            PutText(plain < 0 ? rest : rest[..plain]);
            if (plain < 0) break;
            PutEscape(rest[plain]);
            rest = rest[(plain + 1)..];
        }

        Put((byte)'"');
        return this;
    }

    public CanonicalJson Flag(bool value)
    {
        Begin();
        Put(value ? "true"u8 : "false"u8);
        return this;
    }

    public CanonicalJson Number(double value) => Number(value.ToString("R", CultureInfo.InvariantCulture));

    public CanonicalJson Number(long value) => Number(value.ToString(CultureInfo.InvariantCulture));

    /// <param name="value">A number as JSON spells it.</param>
    public CanonicalJson Number(string value)
    {
        Begin();
        PutText(CanonicalNumber.Of(value));
        return this;
    }

    /// <summary>Writes any value. Of two members with one name, the first stays first.</summary>
    public CanonicalJson Value(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                StartObject();
                // OrderBy is stable
                foreach (var member in value.EnumerateObject().OrderBy(static member => member.Name, StringComparer.Ordinal))
                    Name(member.Name).Value(member.Value);
                return EndObject();
            case JsonValueKind.Array:
                StartList();
                foreach (var item in value.EnumerateArray()) Value(item);
                return EndList();
            case JsonValueKind.String:
                return Text(value.GetString()!);
            case JsonValueKind.Number:
                return Number(Encoding.ASCII.GetString(JsonMarshal.GetRawUtf8Value(value)));
            case JsonValueKind.True or JsonValueKind.False:
                return Flag(value.ValueKind is JsonValueKind.True);
            default:
                Begin();
                Put("null"u8);
                return this;
        }
    }

    /// <summary>The digest of all that was written, as 64 hex digits.</summary>
    public string Digest()
    {
        Flush();
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    public void Dispose() => hash.Dispose();

    private CanonicalJson Start(byte bracket)
    {
        Begin();
        Put(bracket);
        needsComma = false;
        return this;
    }

    private CanonicalJson End(byte bracket)
    {
        Put(bracket);
        needsComma = true;
        return this;
    }

    private void Begin()
    {
        if (needsComma) Put((byte)',');
        needsComma = true;
    }

    private void Put(byte value)
    {
        if (used == Room) Flush();
        buffer[used++] = value;
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        foreach (var value in bytes) Put(value);
    }

    private void PutText(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            if (Room - used < 4) Flush(); // the longest UTF-8 form of a character
            Utf8.FromUtf16(text, buffer.AsSpan(used), out var read, out var written);
            used += written;
            text = text[read..];
        }
    }

    private void PutEscape(char letter)
    {
        Put((byte)'\\');
        var name = letter switch { '"' => '"', '\\' => '\\', '\b' => 'b', '\t' => 't', '\n' => 'n', '\f' => 'f', '\r' => 'r', _ => 'u' };
        Put((byte)name);
        if (name is 'u') PutText(((int)letter).ToString("x4", CultureInfo.InvariantCulture));
    }

    private void Flush()
    {
        hash.AppendData(buffer, 0, used);
        copy?.Write(buffer, 0, used);
        used = 0;
    }
}
