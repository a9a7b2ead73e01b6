namespace Proxy.Inference.Tokenizing;

internal static partial class TokenizerFile
{
    private static PostProcessor ReadPostProcessor(JsonPlace post)
    {
        switch (post.Type)
        {
            case "Sequence":
                return post["processors"].Items.Select(ReadPostProcessor).Aggregate(PostProcessor.None, (all, next) => new(
                    next.Single == PostProcessor.None.Single ? all.Single : next.Single,
                    next.Pair == PostProcessor.None.Pair ? all.Pair : next.Pair,
                    all.TrimOffsets || next.TrimOffsets,
                    all.PrefixSpace || next.PrefixSpace));
            case "ByteLevel":
                return PostProcessor.None with { TrimOffsets = post.Flag("trim_offsets", true), PrefixSpace = post.Flag("add_prefix_space", true) };
            case "TemplateProcessing":
                return new(ReadSingle(post), ReadTemplate(post, "pair"), false, false);
            case "BertProcessing":
                return new([Cls(post), First(0), Sep(post, 0)], [Cls(post), First(0), Sep(post, 0), Second(1), Sep(post, 1)], false, false);
            case "RobertaProcessing":
                return new(
                    [Cls(post), First(0), Sep(post, 0)], [Cls(post), First(0), Sep(post, 0), Sep(post, 0), Second(0), Sep(post, 0)],
                    post.Flag("trim_offsets", true), post.Flag("add_prefix_space", true));
            case var type:
                throw post.Unknown(type);
        }
    }

    private static PostProcessor.Part First(byte type) => new(PostProcessor.Source.First, type, []);

    private static PostProcessor.Part Second(byte type) => new(PostProcessor.Source.Second, type, []);

    private static PostProcessor.Part Cls(JsonPlace post) => new(PostProcessor.Source.Special, 0, [NamedId(post["cls"])]);

    private static PostProcessor.Part Sep(JsonPlace post, byte type) => new(PostProcessor.Source.Special, type, [NamedId(post["sep"])]);

    /// <summary>The id in a pair of token and id.</summary>
    private static int NamedId(JsonPlace pair) => pair.Items.ToArray() is [_, var id] ? Id(id) : throw pair.Wrong("is not a pair of token and id");

    private static PostProcessor.Part[] ReadSingle(JsonPlace post)
    {
        var parts = ReadTemplate(post, "single");
        if (parts.Count(static part => part.Source is PostProcessor.Source.First) == 1 && !parts.Any(static part => part.Source is PostProcessor.Source.Second))
            return parts;
        throw post["single"].Wrong("does not have the sequence A once and no other");
    }

    private static PostProcessor.Part[] ReadTemplate(JsonPlace post, string name) => [.. post[name].Items.Select(part => ReadPart(post, part))];

    private static PostProcessor.Part ReadPart(JsonPlace post, JsonPlace part)
    {
        if (part.Optional("Sequence") is { IsNull: false } sequence)
        {
            var source = sequence["id"].Text switch
            {
                "A" => PostProcessor.Source.First,
                "B" => PostProcessor.Source.Second,
                _ => throw sequence.Wrong("is neither A nor B"),
            };
            return new PostProcessor.Part(source, TypeId(sequence), []);
        }

        var special = part["SpecialToken"];
        var ids = post["special_tokens"][special["id"].Text]["ids"].Items.Select(Id).ToArray();
        return new PostProcessor.Part(PostProcessor.Source.Special, TypeId(special), ids);
    }

    private static byte TypeId(JsonPlace part) => part.Optional("type_id") is { IsNull: false } type ? (byte)type.Number : (byte)0;
}
