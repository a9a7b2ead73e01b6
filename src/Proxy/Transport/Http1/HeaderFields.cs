using System.Buffers;
using System.Collections;
using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace Proxy.Transport.Http1;

/// <summary>A message's header fields in their order. There are about ten: to look through a list is quicker than to hash a name.</summary>
internal sealed class HeaderFields : IHeaderDictionary, IFieldList
{
    private static readonly SearchValues<char> TextCharacters = SearchValues.Create(['\t', .. Enumerable.Range(' ', '~' - ' ' + 1).Select(code => (char)code)]);

    private KeyValuePair<string, StringValues>[] fields = new KeyValuePair<string, StringValues>[12];

    public int Count { get; private set; }
    public bool IsReadOnly => false;
    public ICollection<string> Keys => [.. Fields.ToArray().Select(static one => one.Key)];
    public ICollection<StringValues> Values => [.. Fields.ToArray().Select(static one => one.Value)];
    public ReadOnlySpan<KeyValuePair<string, StringValues>> Fields => fields.AsSpan(0, Count);

    /// <summary>Kept apart from the fields: a body's framing is the server's to write.</summary>
    public long? ContentLength { get; set; }

    public StringValues this[string key]
    {
        get => Find(key) is var index and >= 0 ? fields[index].Value : StringValues.Empty;
        set => Set(key, value);
    }

    StringValues IDictionary<string, StringValues>.this[string key]
    {
        get => Find(key) is var index and >= 0 ? fields[index].Value : throw new KeyNotFoundException($"there is no header '{key}'");
        set => Set(key, value);
    }

    /// <summary>Puts a field at its place: for whoever knows that no other has its name.</summary>
    public void Put(int index, string name, string value)
    {
        if (index == fields.Length) Array.Resize(ref fields, index * 2);
        fields[index] = new(name, value);
    }

    /// <summary>The first fields count, whatever stands after them.</summary>
    public void Keep(int count) => Count = count;

    public void Add(string key, StringValues value)
    {
        if (Find(key) >= 0) throw new ArgumentException($"there is a header '{key}' already", nameof(key));
        Append(key, value);
    }

    public void Add(KeyValuePair<string, StringValues> item) => Add(item.Key, item.Value);

    public void Clear()
    {
        Count = 0;
        ContentLength = null;
    }

    public bool Contains(KeyValuePair<string, StringValues> item) => Find(item.Key) is var index and >= 0 && fields[index].Value.Equals(item.Value);

    public bool ContainsKey(string key) => Find(key) >= 0;

    public bool Remove(string key)
    {
        if (Find(key) is not (var index and >= 0)) return false;
        Array.Copy(fields, index + 1, fields, index, --Count - index);
        return true;
    }

    public bool Remove(KeyValuePair<string, StringValues> item) => Contains(item) && Remove(item.Key);

    public bool TryGetValue(string key, [MaybeNullWhen(false)] out StringValues value)
    {
        var index = Find(key);
        value = index >= 0 ? fields[index].Value : default;
        return index >= 0;
    }

    public void CopyTo(KeyValuePair<string, StringValues>[] array, int arrayIndex) => Fields.CopyTo(array.AsSpan(arrayIndex));

    public IEnumerator<KeyValuePair<string, StringValues>> GetEnumerator()
    {
        for (var i = 0; i < Count; i++) yield return fields[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void Set(string name, StringValues value)
    {
        var index = Find(name);
        if (StringValues.IsNullOrEmpty(value)) Remove(name);
        else if (index < 0) Append(name, value);
        else fields[index] = new(name, Checked(name, value));
    }

    private void Append(string name, StringValues value)
    {
        if (name.Length is 14 or 17 && (name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase) || name.Equals(HeaderNames.TransferEncoding, StringComparison.OrdinalIgnoreCase)))
            throw new InvalidOperationException($"the header '{name}' frames the body, which is the server's to do");
        if (Count == fields.Length) Array.Resize(ref fields, Count * 2);
        fields[Count++] = new(name, Checked(name, value));
    }

    // A line end in a value would be the beginning of a header of somebody else's.
    private static StringValues Checked(string name, StringValues value)
    {
        for (var i = 0; i < value.Count; i++)
        {
            var text = value[i].AsSpan();
            if (text.IndexOfAnyExceptInRange(' ', '~') is >= 0 and var at && text[at..].IndexOfAnyExcept(TextCharacters) >= 0) throw new InvalidOperationException($"the header '{name}' may hold visible ASCII, spaces and tabs only");
        }

        return value;
    }

    private int Find(string name)
    {
        for (var i = 0; i < Count; i++)
        {
            var other = fields[i].Key;
            if (ReferenceEquals(other, name) || (other.Length == name.Length && other.Equals(name, StringComparison.OrdinalIgnoreCase))) return i;
        }

        return -1;
    }
}
