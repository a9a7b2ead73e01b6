using System.Text.Json;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>State of one request while it is read: the first problem found, and the members that must be kept as they came.</summary>
internal sealed class OpenAiDraft
{
    public RequestFields Fields { get; } = new();
    public List<KeyValuePair<string, JsonElement>> Unknown { get; } = [];
    public List<KeyValuePair<string, JsonElement>> AsItCame { get; } = [];

    public void Keep(JsonProperty member) => Unknown.Add(new(member.Name, member.Value.Clone()));

    public void KeepSpelling(string name, JsonElement value) => AsItCame.Add(new(name, value.Clone()));
}
