using System.Buffers.Binary;
using Proxy.Knowledge;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// The binary form of pgvector's <c>halfvec</c>, as <c>COPY</c> and <c>halfvec_send</c> have it: the dimensions and a zero, two bytes each, then the numbers as
/// IEEE 754 half precision, all in network byte order. Written by hand, because the package Pgvector brings no more than this.
/// </summary>
internal static class Halfvec
{
    /// <summary>The most dimensions that an index of pgvector takes (its README, "HNSW: halfvec up to 4,000 dimensions").</summary>
    public const int MostDimensions = 4000;

    private const int HeadBytes = 4;

    /// <summary>The bytes of one vector's numbers.</summary>
    public static int BytesOf(VectorSet set) => set.Dimensions * 2;

    public static byte[] Write(ReadOnlySpan<float> vector)
    {
        var data = new byte[HeadBytes + (vector.Length * 2)];
        BinaryPrimitives.WriteInt16BigEndian(data, (short)vector.Length);
        for (var i = 0; i < vector.Length; i++) BinaryPrimitives.WriteHalfBigEndian(data.AsSpan(HeadBytes + (i * 2)), (Half)vector[i]);
        return data;
    }

    /// <summary>Reads a vector and normalises it, because rounding changed its length a little.</summary>
    public static float[] ReadNormalised(ReadOnlySpan<byte> data)
    {
        var vector = new float[BinaryPrimitives.ReadInt16BigEndian(data)];
        var squares = 0.0;
        for (var i = 0; i < vector.Length; i++)
        {
            vector[i] = (float)BinaryPrimitives.ReadHalfBigEndian(data[(HeadBytes + (i * 2))..]);
            squares += vector[i] * (double)vector[i];
        }

        var scale = squares > 0 ? (float)(1 / Math.Sqrt(squares)) : 0;
        for (var i = 0; i < vector.Length; i++) vector[i] *= scale;
        return vector;
    }
}
