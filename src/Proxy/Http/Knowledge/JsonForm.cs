using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Http.Knowledge;

/// <summary>
/// The JSON object of a request. Its methods read members; the first that is wrong is kept as <see cref="Problem"/>, to be returned when all have been read.
/// A member that is absent or null is null. Members that are not asked for are ignored, as OpenAI does.
/// </summary>
internal sealed class JsonForm
{
    private readonly JsonElement value;
    private readonly string at;
    private readonly JsonForm outer;

    private JsonForm(JsonElement value, string at, JsonForm? outer) => (this.value, this.at, this.outer) = (value, at, outer ?? this);

    public ProxyError? Problem { get; private set; }

    /// <summary>Reads a body. An empty one is an object without members.</summary>
    public static (JsonForm? Form, ProxyError? Problem) Read(ReadOnlySpan<byte> body)
    {
        if (JsonStructure.IsTooMuch(body)) return (null, new(ProxyErrorKind.InvalidRequest, $"the body has more than {JsonStructure.MostValues} values"));
        try
        {
            var value = JsonElement.Parse(body.IsEmpty ? "{}"u8 : body);
            return value.ValueKind is JsonValueKind.Object
                ? (new(value, "", null), null)
                : (null, new(ProxyErrorKind.InvalidRequest, "the body must be a JSON object"));
        }
        catch (JsonException problem)
        {
            return (null, new(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}"));
        }
    }

    /// <summary>Whether the object has the member, even if it is null.</summary>
    public bool Has(string name) => value.TryGetProperty(name, out _);

    /// <summary>The member as it came; null if it is absent or null.</summary>
    public JsonElement? Any(string name) =>
        value.TryGetProperty(name, out var member) && member.ValueKind is not JsonValueKind.Null ? member : null;

    public string? Text(string name, int longest)
    {
        if (Any(name) is not { } member) return null;
        if (TextOf(member) is not { } text) return Refuse<string>(name, "must be a string");
        return text.Length <= longest ? text : Refuse<string>(name, $"is longer than {longest} characters");
    }

    public int? Whole(string name, int least, int most)
    {
        if (Any(name) is not { } member) return null;
        return member.ValueKind is JsonValueKind.Number && member.TryGetInt32(out var number) && number >= least && number <= most
            ? number
            : Refuse<int?>(name, most is int.MaxValue ? $"must be an integer of {least} or more" : $"must be an integer from {least} to {most}");
    }

    public double? Number(string name, double least, double most)
    {
        if (Any(name) is not { } member) return null;
        return member.ValueKind is JsonValueKind.Number && member.TryGetDouble(out var number) && number >= least && number <= most
            ? number
            : Refuse<double?>(name, string.Create(CultureInfo.InvariantCulture, $"must be a number from {least} to {most}"));
    }

    public bool? Truth(string name) => Any(name)?.ValueKind switch
    {
        null => null,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => Refuse<bool?>(name, "must be true or false"),
    };

    public JsonForm? Object(string name)
    {
        if (Any(name) is not { } member) return null;
        return member.ValueKind is JsonValueKind.Object ? new(member, At(name) + ".", outer) : Refuse<JsonForm>(name, "must be an object");
    }

    /// <summary>A list of texts that are not empty.</summary>
    public IReadOnlyList<string>? Texts(string name, int most, int longest)
    {
        if (List(name, most) is not { } list) return null;
        var texts = new List<string>();
        foreach (var item in list.EnumerateArray())
        {
            if (TextOf(item) is not { Length: > 0 } text || text.Length > longest)
                return Refuse<IReadOnlyList<string>>($"{name}[{texts.Count}]", $"must be a string of 1 to {longest} characters");
            texts.Add(text);
        }

        return texts;
    }

    public IReadOnlyList<JsonForm>? Objects(string name, int most)
    {
        if (List(name, most) is not { } list) return null;
        var objects = new List<JsonForm>();
        foreach (var item in list.EnumerateArray())
        {
            var place = $"{name}[{objects.Count}]";
            if (item.ValueKind is not JsonValueKind.Object) return Refuse<IReadOnlyList<JsonForm>>(place, "must be an object");
            objects.Add(new(item, At(place) + ".", outer));
        }

        return objects;
    }

    /// <summary>
    /// An object of at most 16 members with names of at most 64 and texts of at most 512 characters, as OpenAI limits <c>metadata</c> and <c>attributes</c>:
    /// as compact JSON, each name once.
    /// </summary>
    /// <param name="name">The member's name.</param>
    /// <param name="isTexts">Whether only texts are allowed; else also numbers and truth values.</param>
    public string? Map(string name, bool isTexts)
    {
        const int MostMembers = 16, LongestName = 64, LongestText = 512;
        if (Any(name) is not { } map) return null;
        if (map.ValueKind is not JsonValueKind.Object) return Refuse<string>(name, "must be an object");
        var members = new Dictionary<string, JsonElement>();
        foreach (var member in map.EnumerateObject())
        {
            if (NameOf(member) is not { Length: <= LongestName } key) return Refuse<string>(name, $"has a name that is longer than {LongestName} characters");
            var isRight = member.Value.ValueKind switch
            {
                JsonValueKind.String => TextOf(member.Value) is { Length: <= LongestText },
                JsonValueKind.True or JsonValueKind.False => !isTexts,
                JsonValueKind.Number => !isTexts && member.Value.TryGetDouble(out var number) && double.IsFinite(number),
                _ => false,
            };
            if (!isRight)
            {
                return Refuse<string>($"{name}.{ModelName.Shown(key)}", isTexts
                    ? $"must be a string of at most {LongestText} characters"
                    : $"must be a string of at most {LongestText} characters, a number, true or false");
            }

            members[key] = member.Value;
        }

        if (members.Count > MostMembers) return Refuse<string>(name, $"has more than {MostMembers} members");
        var written = new ArrayBufferWriter<byte>();
        using (var json = WireJson.NewWriter(written))
        {
            json.WriteStartObject();
            foreach (var (key, member) in members) json.WriteAsItCame(key, member);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(written.WrittenSpan);
    }

    /// <summary>Notes that a member is wrong, unless another was before.</summary>
    /// <param name="name">The member.</param>
    /// <param name="why">What follows its name in the message.</param>
    public void Refuse(string name, string why) =>
        outer.Problem ??= new(ProxyErrorKind.InvalidRequest, $"{At(name)} {why}") { Param = At(name) };

    private T? Refuse<T>(string name, string why)
    {
        Refuse(name, why);
        return default;
    }

    private JsonElement? List(string name, int most)
    {
        if (Any(name) is not { } member) return null;
        if (member.ValueKind is not JsonValueKind.Array) return Refuse<JsonElement?>(name, "must be an array");
        return member.GetArrayLength() <= most ? member : Refuse<JsonElement?>(name, $"has more than {most} elements");
    }

    private string At(string name) => at + name;

    /// <summary>Null if it is no text, or has half of a surrogate pair, which is not Unicode.</summary>
    private static string? TextOf(JsonElement text)
    {
        try
        {
            return text.ValueKind is JsonValueKind.String ? text.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static string? NameOf(JsonProperty member)
    {
        try
        {
            return member.Name;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
