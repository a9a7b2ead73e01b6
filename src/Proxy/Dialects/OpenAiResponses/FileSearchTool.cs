using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Finds OpenAI's tool <c>file_search</c> in a request: <c>{"type":"file_search","vector_store_ids":[…],"max_num_results"?,"filters"?,"ranking_options"?:
/// {"ranker"?,"score_threshold"?,"hybrid_search"?:{"embedding_weight","text_weight"}}}</c>. The proxy searches, so no host gets the tool.
/// </summary>
internal static class FileSearchTool
{
    private const int MostResults = 50, MostStores = 100;

    /// <summary>What the body asks for; null: it has no such tool.</summary>
    public static FileSearch? Find(ReadOnlySpan<byte> body)
    {
        if (body.IndexOf("\"file_search\""u8) < 0 || LastUserTurn.Member(body, "tools"u8) is not { } tools || body[tools.Start.Value] is not (byte)'[')
            return null;
        var kept = new List<Range>();
        FileSearch? found = null;
        var number = 0;
        foreach (var place in LastUserTurn.Elements(body, tools))
        {
            var tool = body[place.Start.Value] is (byte)'{' ? WireJson.Parse(body[place]) : default;
            if (IsSearch(tool)) found = Read(tool, $"tools[{number}]", found);
            else kept.Add(place);
            number++;
        }

        if (found is null) return null;
        var edits = new List<BodyEdit> { new(tools, Joined(body, kept)) };
        var isForbidden = false;
        if (LastUserTurn.Member(body, "tool_choice"u8) is { } choice)
        {
            isForbidden = body[choice].SequenceEqual("\"none\""u8);
            if (Choice(body[choice], kept.Count > 0) is { } other) edits.Add(new(choice, other));
        }

        if (LastUserTurn.Member(body, "input"u8) is { } input && body[input.Start.Value] is (byte)'[') LeaveOutResults(body, input, edits);
        return found with { IsForbidden = isForbidden, Edits = [.. edits.OrderBy(static edit => edit.Place.Start.Value)] };
    }

    private static bool IsSearch(JsonElement tool) => OpenAiResponsesJson.Text(tool, "type"u8) is "file_search";

    private static FileSearch Read(JsonElement tool, string place, FileSearch? earlier)
    {
        List<string> stores = [.. earlier?.Stores ?? []];
        var listed = ((JsonElement?)tool).Member("vector_store_ids"u8);
        var isList = listed is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0
            && list.EnumerateArray().All(static id => id.ValueKind is JsonValueKind.String && id.GetString() is { Length: > 0 });
        if (!isList) return Wrong(earlier, $"{place}.vector_store_ids", "must be a list of at least one id of a vector store");
        if (listed!.Value.GetArrayLength() + stores.Count > MostStores)
            return Wrong(earlier, $"{place}.vector_store_ids", $"has more than {MostStores} ids, with those of other tools");
        foreach (var id in listed.Value.EnumerateArray())
        {
            if (!stores.Contains(id.GetString()!)) stores.Add(id.GetString()!);
        }

        // Of several tools, the first says how to search.
        if (earlier is not null) return earlier with { Stores = stores };
        var search = new FileSearch(stores) { Place = place };
        if (Given(tool, "max_num_results"u8) is { } most)
        {
            if (most.ValueKind is not JsonValueKind.Number || !most.TryGetInt32(out var count) || count is < 1 or > MostResults)
                return Wrong(search, $"{place}.max_num_results", $"must be a number from 1 to {MostResults}");
            search = search with { Most = count };
        }

        if (Given(tool, "filters"u8) is { } filters)
        {
            if (filters.ValueKind is not JsonValueKind.Object) return Wrong(search, $"{place}.filters", "must be an object");
            search = search with { Filters = filters };
        }

        if (Given(tool, "ranking_options"u8) is not { } options) return search;
        return options.ValueKind is JsonValueKind.Object
            ? ReadRanking(options, $"{place}.ranking_options", search)
            : Wrong(search, $"{place}.ranking_options", "must be an object");
    }

    private static FileSearch ReadRanking(JsonElement options, string place, FileSearch search)
    {
        if (Given(options, "ranker"u8) is { ValueKind: JsonValueKind.String } ranker && ranker.ValueEquals("none"u8)) search = search with { Rerank = false };
        if (Given(options, "score_threshold"u8) is { } threshold)
        {
            if (Share(threshold) is not { } least) return Wrong(search, $"{place}.score_threshold", "must be a number from 0 to 1");
            search = search with { Threshold = least };
        }

        if (Given(options, "hybrid_search"u8) is not { } hybrid) return search;
        var (embedding, text) = (Share(Given(hybrid, "embedding_weight"u8) ?? default), Share(Given(hybrid, "text_weight"u8) ?? default));
        return embedding is null || text is null || embedding + text <= 0
            ? Wrong(search, $"{place}.hybrid_search", "must have \"embedding_weight\" and \"text_weight\", numbers from 0 to 1 that are not both 0")
            : search with { EmbeddingWeight = embedding, TextWeight = text };
    }

    private static JsonElement? Given(JsonElement value, ReadOnlySpan<byte> name) =>
        ((JsonElement?)value).Member(name) is { ValueKind: not JsonValueKind.Null } given ? given : null;

    private static double? Share(JsonElement value) =>
        value.ValueKind is JsonValueKind.Number && value.TryGetDouble(out var number) && number is >= 0 and <= 1 ? number : null;

    private static FileSearch Wrong(FileSearch? search, string param, string what) => (search ?? new FileSearch([])) with
    {
        Problem = search?.Problem ?? new(ProxyErrorKind.InvalidRequest, $"\"{param}\" {what}") { Param = param },
    };

    /// <summary>The choice without the tool; null: it does not concern it.</summary>
    private static byte[]? Choice(ReadOnlySpan<byte> choice, bool hasOthers)
    {
        if (choice.SequenceEqual("\"required\""u8)) return hasOthers ? null : "\"auto\""u8.ToArray();
        if (choice is not [(byte)'{', ..]) return null;
        var said = WireJson.Parse(choice);
        if (IsSearch(said)) return "\"auto\""u8.ToArray();
        if (LastUserTurn.Member(choice, "tools"u8) is not { } tools || choice[tools.Start.Value] is not (byte)'[') return null;
        var kept = new List<Range>();
        var all = LastUserTurn.Elements(choice, tools);
        foreach (var tool in all)
        {
            if (!IsSearch(WireJson.Parse(choice[tool]))) kept.Add(tool);
        }

        if (kept.Count == all.Count) return null;
        if (kept.Count == 0) return "\"auto\""u8.ToArray();
        return [.. choice[..tools.Start], .. Joined(choice, kept), .. choice[tools.End..]];
    }

    private static byte[] Joined(ReadOnlySpan<byte> body, List<Range> elements)
    {
        var list = new ArrayBufferWriter<byte>(256);
        list.Write("["u8);
        for (var i = 0; i < elements.Count; i++)
        {
            if (i > 0) list.Write(","u8);
            list.Write(body[elements[i]]);
        }

        list.Write("]"u8);
        return list.WrittenSpan.ToArray();
    }

    /// <summary>
    /// Leaves out the items <c>file_search_call</c> of earlier answers. They say what the proxy searched, and hosts do not know them. Each goes with the comma
    /// after it, the last ones with the comma before them.
    /// </summary>
    private static void LeaveOutResults(ReadOnlySpan<byte> body, Range input, List<BodyEdit> edits)
    {
        var items = LastUserTurn.Elements(body, input);
        var end = items.Count;
        while (end > 0 && IsResult(body[items[end - 1]])) end--;
        for (var i = 0; i < end; i++)
        {
            if (IsResult(body[items[i]])) edits.Add(new(items[i].Start..items[i + 1].Start, default));
        }

        if (end < items.Count) edits.Add(new((end == 0 ? items[0].Start : items[end - 1].End)..items[^1].End, default));
    }

    private static bool IsResult(ReadOnlySpan<byte> item) =>
        item is [(byte)'{', ..] && item.IndexOf("file_search_call"u8) >= 0 && OpenAiResponsesJson.Text(WireJson.Parse(item), "type"u8) is "file_search_call";
}
