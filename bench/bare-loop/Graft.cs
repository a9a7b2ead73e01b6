using System.Runtime.InteropServices;
using System.Text;

namespace BareLoop;

/// <summary>
/// Makes a cross-encoder out of an embedding model, by editing its graph's protobuf: the first token's vector times a column of weights is
/// the logit. Its layers are those of the small cross-encoders that people use, so its speed is theirs.
/// </summary>
internal static class Graft
{
    private const string Hidden = "last_hidden_state";
    private const int Width = 384;

    // Field numbers of onnx.proto.
    private const int ModelGraph = 7, GraphNode = 1, GraphInitializer = 5, GraphOutput = 12;

    public static void Write(string model, string folder)
    {
        Directory.CreateDirectory(folder);
        File.Copy(Path.Combine(model, "tokenizer.json"), Path.Combine(folder, "tokenizer.json"), overwrite: true);
        File.WriteAllText(Path.Combine(folder, "config.json"), """{"architectures":["BertForSequenceClassification"],"model_type":"bert","hidden_size":384,"max_position_embeddings":512,"pad_token_id":0,"num_labels":1,"id2label":{"0":"LABEL_0"},"label2id":{"LABEL_0":0}}""");
        var edited = new MemoryStream();
        foreach (var (number, whole, content) in Fields(File.ReadAllBytes(Path.Combine(model, "onnx", "model_quantized.onnx"))))
        {
            if (number == ModelGraph) Put(edited, ModelGraph, WithHead(content));
            else edited.Write(whole.Span);
        }

        File.WriteAllBytes(Path.Combine(folder, "model.onnx"), edited.ToArray());
    }

    private static byte[] WithHead(ReadOnlyMemory<byte> graph)
    {
        var edited = new MemoryStream();
        foreach (var (number, whole, _) in Fields(graph))
        {
            if (number != GraphOutput) edited.Write(whole.Span);
        }

        var random = new Random(1);
        var weights = Enumerable.Range(0, Width).Select(_ => (random.NextSingle() - 0.5f) / 10).ToArray();
        Put(edited, GraphInitializer, Message((1, Width), (1, 1), (2, 1), (8, "head_weights"), (9, MemoryMarshal.AsBytes<float>(weights).ToArray())));
        Put(edited, GraphInitializer, Message((2, 7), (8, "head_token"), (9, new byte[8])));
        Put(edited, GraphNode, Message((1, Hidden), (1, "head_token"), (2, "head_vector"), (4, "Gather"), (5, Message((1, "axis"), (3, 1), (20, 2)))));
        Put(edited, GraphNode, Message((1, "head_vector"), (1, "head_weights"), (2, "logits"), (4, "MatMul")));
        var shape = Message((1, Message((2, "batch"))), (1, Message((1, 1))));
        Put(edited, GraphOutput, Message((1, "logits"), (2, Message((1, Message((1, 1), (2, shape)))))));
        return edited.ToArray();
    }

    private static List<(int Number, ReadOnlyMemory<byte> Whole, ReadOnlyMemory<byte> Content)> Fields(ReadOnlyMemory<byte> message)
    {
        var fields = new List<(int, ReadOnlyMemory<byte>, ReadOnlyMemory<byte>)>();
        for (var at = 0; at < message.Length;)
        {
            var from = at;
            var tag = Varint(message.Span, ref at);
            var length = (tag & 7) switch
            {
                0 => 0,
                1 => 8,
                2 => (int)Varint(message.Span, ref at),
                5 => 4,
                _ => throw new InvalidDataException("not protobuf"),
            };
            if ((tag & 7) == 0) Varint(message.Span, ref at);
            fields.Add(((int)(tag >> 3), message[from..(at + length)], message.Slice(at, length)));
            at += length;
        }

        return fields;
    }

    private static byte[] Message(params (int Number, object Value)[] fields)
    {
        var message = new MemoryStream();
        foreach (var (number, value) in fields)
        {
            if (value is int whole)
            {
                Varint(message, (ulong)number << 3);
                Varint(message, (ulong)whole);
            }
            else
            {
                Put(message, number, value as byte[] ?? Encoding.UTF8.GetBytes((string)value));
            }
        }

        return message.ToArray();
    }

    private static void Put(MemoryStream to, int number, byte[] content)
    {
        Varint(to, ((ulong)number << 3) | 2);
        Varint(to, (ulong)content.Length);
        to.Write(content);
    }

    private static ulong Varint(ReadOnlySpan<byte> bytes, ref int at)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var next = bytes[at++];
            value |= (ulong)(next & 127) << shift;
            if (next < 128) return value;
        }
    }

    private static void Varint(MemoryStream to, ulong value)
    {
        for (; value > 127; value >>= 7) to.WriteByte((byte)(value | 128));
        to.WriteByte((byte)value);
    }
}
