using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>Reads and writes vectors and inputs as JSON without allocating an object for each number.</summary>
internal static class VectorJson
{
    /// <summary>The longest form of a float32: sign, nine digits, decimal point, exponent.</summary>
    private const int LongestNumber = 24;

    /// <summary>Writes <c>[0.6,0.8,0,-0]</c>, each number with the fewest digits that parse back to the same float32.</summary>
    public static void WriteNumbers(PooledBody output, ReadOnlySpan<float> vector)
    {
        output.Write("["u8);
        const int Stride = 64;
        for (var start = 0; start < vector.Length; start += Stride)
        {
            var piece = vector[start..Math.Min(start + Stride, vector.Length)];
            var target = output.GetSpan(Stride * LongestNumber);
            var length = 0;
            for (var i = 0; i < piece.Length; i++)
            {
                if (start + i > 0) target[length++] = (byte)',';
                length += Format(piece[i], target[length..]);
            }

            output.Advance(length);
        }

        output.Write("]"u8);
    }

    /// <summary>Formats a number as other servers do: <c>1e-7</c>, where .NET writes <c>1E-07</c>.</summary>
    private static int Format(float value, Span<byte> target)
    {
        value.TryFormat(target, out var written, provider: CultureInfo.InvariantCulture);
        if (Math.Abs(value) is >= 1e-4f and < 1e7f) return written; // in this range .NET writes no exponent
        var mark = target[..written].IndexOf((byte)'E');
        if (mark < 0) return written;
        target[mark] = (byte)'e';
        var digits = mark + 2; // the exponent always has a sign
        if (target[digits] != (byte)'0' || digits + 1 == written) return written;
        target[(digits + 1)..written].CopyTo(target[digits..]);
        return written - 1;
    }

    /// <summary>
    /// Writes the same numbers as float64, with the rounding noise that the wider type shows (<c>0.6000000238418579</c>), as Ollama's older path does.
    /// </summary>
    public static void WriteWide(PooledBody output, ReadOnlySpan<float> vector)
    {
        output.Write("["u8);
        for (var i = 0; i < vector.Length; i++)
        {
            if (i > 0) output.Write(","u8);
            ((double)vector[i]).TryFormat(output.GetSpan(32), out var written, provider: CultureInfo.InvariantCulture);
            output.Advance(written);
        }

        output.Write("]"u8);
    }

    /// <summary>Writes a JSON string with the little-endian float32s in base64.</summary>
    public static void WriteBase64(PooledBody output, ReadOnlySpan<float> vector)
    {
        var bytes = MemoryMarshal.AsBytes(vector);
        output.Write("\""u8);
        Base64.EncodeToUtf8(bytes, output.GetSpan(Base64.GetMaxEncodedToUtf8Length(bytes.Length)), out _, out var written);
        output.Advance(written);
        output.Write("\""u8);
    }

    public static void WriteInteger(PooledBody output, long number)
    {
        number.TryFormat(output.GetSpan(20), out var written, provider: CultureInfo.InvariantCulture);
        output.Advance(written);
    }

    /// <summary>Writes texts and token ids as one list, whichever form the client used.</summary>
    public static void WriteInputs(Utf8JsonWriter json, IReadOnlyList<EmbedInput> inputs)
    {
        json.WriteStartArray();
        foreach (var input in inputs)
        {
            if (input.TokenIds is not { } ids)
            {
                json.WriteStringValue(input.Text);
                continue;
            }

            json.WriteStartArray();
            foreach (var id in ids) json.WriteNumberValue(id);
            json.WriteEndArray();
        }

        json.WriteEndArray();
    }

    /// <summary>
    /// Reads the value at the reader's position: a text, a list of texts, token ids, or a list of token id lists. False if it is something else.
    /// </summary>
    public static bool TryReadInputs(ref Utf8JsonReader json, List<EmbedInput> inputs)
    {
        if (json.TokenType is JsonTokenType.String)
        {
            inputs.Add(new(json.GetString()!));
            return true;
        }

        if (json.TokenType is not JsonTokenType.StartArray) return false;
        List<int>? ids = null;
        while (json.Read() && json.TokenType is not JsonTokenType.EndArray)
        {
            switch (json.TokenType)
            {
                case JsonTokenType.String when ids is null:
                    inputs.Add(new(json.GetString()!));
                    break;
                case JsonTokenType.Number when inputs.Count == 0 && json.TryGetInt32(out var id):
                    (ids ??= []).Add(id);
                    break;
                case JsonTokenType.StartArray when ids is null && TryReadIds(ref json) is { } read:
                    inputs.Add(new(read));
                    break;
                default:
                    return false;
            }
        }

        if (ids is not null) inputs.Add(new([.. ids]));
        return true;
    }

    /// <summary>Appends the vector at the reader's position, given as numbers or as base64. False if it is neither.</summary>
    public static bool TryReadVector(ref Utf8JsonReader json, ref FloatList values)
    {
        if (json.TokenType is JsonTokenType.String) return TryReadBase64(ref json, ref values);
        if (json.TokenType is not JsonTokenType.StartArray) return false;
        while (json.Read() && json.TokenType is JsonTokenType.Number)
        {
            if (!json.TryGetSingle(out var value) || !float.IsFinite(value)) return false;
            values.Add(value);
        }

        return json.TokenType is JsonTokenType.EndArray;
    }

    private static bool TryReadBase64(ref Utf8JsonReader json, ref FloatList values)
    {
        // JSON may escape the slashes of base64; few hosts do.
        if (json.ValueIsEscaped)
        {
            if (!json.TryGetBytesFromBase64(out var decoded) || decoded.Length % sizeof(float) != 0) return false;
            MemoryMarshal.Cast<byte, float>(decoded).CopyTo(values.Extend(decoded.Length / sizeof(float)));
            return AreFinite(values.Memory.Span[^(decoded.Length / sizeof(float))..]);
        }

        var text = json.ValueSpan;
        var padding = text.EndsWith("=="u8) ? 2 : text.EndsWith("="u8) ? 1 : 0;
        var length = (text.Length / 4 * 3) - padding;
        if (text.Length % 4 != 0 || length % sizeof(float) != 0) return false;
        var room = values.Extend(length / sizeof(float));
        return Base64.DecodeFromUtf8(text, MemoryMarshal.AsBytes(room), out _, out var written) is OperationStatus.Done && written == length && AreFinite(room);
    }

    /// <summary>JSON cannot express NaN and infinity, so a vector with one is rejected.</summary>
    private static bool AreFinite(ReadOnlySpan<float> vector)
    {
        foreach (var value in vector)
        {
            if (!float.IsFinite(value)) return false;
        }

        return true;
    }

    private static int[]? TryReadIds(ref Utf8JsonReader json)
    {
        var ids = new List<int>();
        while (json.Read() && json.TokenType is JsonTokenType.Number)
        {
            if (!json.TryGetInt32(out var id)) return null;
            ids.Add(id);
        }

        return json.TokenType is JsonTokenType.EndArray ? [.. ids] : null;
    }
}

/// <summary>A growing array of numbers.</summary>
internal struct FloatList(int capacity)
{
    private float[] values = new float[Math.Max(capacity, 16)];

    public int Count { get; private set; }

    public readonly ReadOnlyMemory<float> Memory => values.AsMemory(0, Count);

    public void Add(float value)
    {
        if (Count == values.Length) Array.Resize(ref values, values.Length * 2);
        values[Count++] = value;
    }

    /// <summary>Adds room for this many more numbers, which the caller writes.</summary>
    public Span<float> Extend(int count)
    {
        if (values.Length - Count < count) Array.Resize(ref values, Math.Max(values.Length * 2, Count + count));
        Count += count;
        return values.AsSpan(Count - count, count);
    }
}
