using System.Text.Json;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Generates calls and cuts them into deltas as different hosts do: which indexes and ids a host sends, when it sends the name, whether calls alternate. Only
/// forms in which the calls can be told apart are generated.
/// </summary>
internal sealed class ToolCallForms(int seed)
{
    private enum Indexes { Right, AllZero, Missing, OnlyFirst }

    private enum Ids { First, Every, Changing, InADeltaBeforeTheName, InADeltaAfterTheName, WithTheFirstArguments, None }

    private enum Names { First, Late, AfterArguments, InTwo, InTwoEachTwice, InEvery }

    private static readonly string[] Words = ["get_weather", "get_time", "get", "search", "mcp__files__read", "é_tool", "f"];

    private readonly Random random = new(seed);
    private Indexes indexes;
    private Ids ids;
    private Names names;
    private bool turns;
    private int fresh;

    public string Form => $"seed {seed}: indexes {indexes}, ids {ids}, names {names}{(turns ? ", in turns" : "")}";

    /// <summary>Returns the entries of each delta's <c>tool_calls</c>, and the calls that they describe.</summary>
    public List<string> Make(out List<TrueCall> calls)
    {
        do
        {
            indexes = Any<Indexes>();
            ids = Any<Ids>();
            names = Any<Names>();
            turns = random.Next(2) == 0;
        }
        while (!TellsCallsApart());

        calls = [.. Enumerable.Range(0, random.Next(1, 5)).Select(number => new TrueCall(
            ids is Ids.None ? null : $"call_{number}{(char)random.Next('a', 'z' + 1)}", Words[random.Next(Words.Length)], Arguments()))];
        var entries = calls.Select((call, number) => Entries(call, number).ToList()).ToList();
        return [.. turns ? InTurns(entries) : entries.SelectMany(one => one)];
    }

    private bool TellsCallsApart()
    {
        var apart = indexes is Indexes.Right;
        var byId = ids is Ids.Every;
        if (turns && !apart && !(byId && names is Names.First or Names.InEvery && byId)) return false; // nothing else tells the calls apart
        // a name with a new id starts a call
        if (ids is Ids.Changing && (indexes is Indexes.Missing or Indexes.OnlyFirst || names is Names.InTwo or Names.InTwoEachTwice or Names.InEvery))
            return false;
        // the arguments could belong to any call
        if (names is Names.AfterArguments && !apart && ids is not (Ids.First or Ids.Every or Ids.Changing)) return false;
        // a name with its first id starts a call
        if (names is Names.InEvery && !apart && ids is Ids.InADeltaAfterTheName or Ids.InADeltaBeforeTheName or Ids.WithTheFirstArguments) return false;
        return !(ids is Ids.WithTheFirstArguments && names is Names.AfterArguments or Names.Late or Names.InTwo or Names.InTwoEachTwice && !apart);
    }

    private IEnumerable<string> Entries(TrueCall call, int number)
    {
        var first = true;
        var pieces = Cut(call.Arguments);
        if (ids is Ids.InADeltaBeforeTheName) yield return Entry(number, call.Id, null, null);
        switch (names)
        {
            case Names.Late:
                yield return Said("", "");
                if (ids is Ids.InADeltaAfterTheName) yield return Entry(number, call.Id, null, null);
                yield return Said(call.Name, "");
                break;
            case Names.AfterArguments:
                yield return Said("", pieces[0]);
                pieces.RemoveAt(0);
                if (pieces.Count == 0) pieces.Add("");
                break;
            case Names.InTwo or Names.InTwoEachTwice when call.Name.Length > 1:
                var at = call.Name.Length / 2 + 1;
                yield return Said(call.Name[..at], "");
                if (names is Names.InTwoEachTwice) yield return Said(call.Name[..at], null);
                yield return Said(call.Name[at..], "");
                if (names is Names.InTwoEachTwice) yield return Said(call.Name, null);
                break;
            default:
                if (ids is Ids.InADeltaAfterTheName or Ids.WithTheFirstArguments || random.Next(2) == 0)
                {
                    yield return Said(call.Name, random.Next(2) == 0 ? "" : null);
                }
                else
                {
                    yield return Said(call.Name, pieces[0]);
                    pieces.RemoveAt(0);
                }

                break;
        }

        if (ids is Ids.InADeltaAfterTheName && names is not Names.Late) yield return Entry(number, call.Id, null, null);
        for (var i = 0; i < pieces.Count; i++)
        {
            var name = names is Names.InEvery || (names is Names.AfterArguments && i == 0) ? call.Name : random.Next(4) == 0 ? "" : null;
            yield return ids is Ids.WithTheFirstArguments && i == 0 ? Entry(number, call.Id, name, pieces[i]) : Said(name, pieces[i]);
        }

        string Said(string? name, string? arguments)
        {
            var id = ids switch
            {
                Ids.First => first ? call.Id : null,
                Ids.Every => call.Id,
                Ids.Changing => first ? call.Id : $"other_{fresh++}",
                _ => null,
            };
            var entry = Entry(number, id, name, arguments, first);
            first = false;
            return entry;
        }
    }

    private string Entry(int number, string? id, string? name, string? arguments, bool first = false)
    {
        var index = indexes switch { Indexes.Right => number, Indexes.AllZero => 0, Indexes.OnlyFirst when first => number, _ => (int?)null };
        List<string> members = [];
        if (index is not null) members.Add($"\"index\":{index}");
        if (id is not null) members.Add($"\"id\":\"{id}\"");
        if (random.Next(2) == 0) members.Add("\"type\":\"function\"");
        if (name is not null || arguments is not null)
        {
            var named = name is null ? null : $"\"name\":{JsonSerializer.Serialize(name)}";
            var argued = arguments is null ? null : $"\"arguments\":{JsonSerializer.Serialize(arguments)}";
            members.Add($"\"function\":{{{string.Join(',', new[] { named, argued }.OfType<string>())}}}");
        }

        return $"{{{string.Join(',', members)}}}";
    }

    /// <summary>Interleaves the calls, keeping each call's own order. Sometimes several calls share one delta.</summary>
    private IEnumerable<string> InTurns(List<List<string>> entries)
    {
        var left = entries.ConvertAll(one => new Queue<string>(one));
        while (left.Exists(one => one.Count > 0))
        {
            var speaking = left.FindAll(one => one.Count > 0);
            var together = random.Next(1, speaking.Count + 1);
            yield return string.Join(',', speaking.OrderBy(_ => random.Next()).Take(together).Select(one => one.Dequeue()));
        }
    }

    private string Arguments() => random.Next(4) switch
    {
        0 => "{}",
        1 => """{"city":"Zürich \"{}\" \\ 😀","days":[1.50,{"x":null}],"n":7}""".Replace('7', (char)random.Next('0', '9' + 1)),
        2 => """{ "path" : "a/7.txt" , "text":"}}{{" }""".Replace('7', (char)random.Next('0', '9' + 1)),
        _ => """{"a":{"b":{"c":7}}}""".Replace('7', (char)random.Next('0', '9' + 1)),
    };

    private List<string> Cut(string text)
    {
        var pieces = new List<string>();
        while (text.Length > 0)
        {
            var at = Math.Min(text.Length, random.Next(1, 12));
            if (at < text.Length && char.IsLowSurrogate(text[at])) at++;
            pieces.Add(text[..at]);
            text = text[at..];
        }

        return pieces;
    }

    private T Any<T>() where T : struct, Enum => Enum.GetValues<T>()[random.Next(Enum.GetValues<T>().Length)];
}
