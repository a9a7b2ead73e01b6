using System.Security.Cryptography;
using System.Text;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>
/// Whether two calls are equal: by their caller, path, query, body bytes and the headers that shape an answer. Callers without a key are told apart by their
/// address.
/// </summary>
internal static class CallDigest
{
    private static readonly string[] Names = ["x-route", "x-workspace", "x-pipeline", "x-cache"];
    private static readonly string[] Starts = ["x-rag-", "anthropic-", "openai-"];

    /// <summary>The SHA-256, in hexadecimal, of everything that is compared.</summary>
    public static string Of(CallScope scope, ChatCall call)
    {
        var request = scope.Context.Request;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(hash, Owner(scope));
        Add(hash, request.Path.Value ?? "");
        Add(hash, request.QueryString.Value ?? "");
        foreach (var (name, value) in Shaping(request.Headers).Order()) Add(hash, $"{name}: {value}");
        if (call.Terms is { } terms) Add(hash, $"{terms.IsStored} {terms.IsBackground} {terms.Previous}"); // the body for the hosts does not say it
        hash.AppendData((call.OriginalBody ?? default).Span); // none: the call ends at this moment
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The caller's name; for a caller without a key, its address too, because all of them have the same name.</summary>
    public static string Owner(CallScope scope) =>
        scope.Caller.IsAnonymous ? $"{scope.Caller.Name}@{ConnectionFeature.Of(scope.Context)?.Peer}" : scope.Caller.Name;

    private static IEnumerable<(string Name, string Value)> Shaping(IHeaderDictionary headers) =>
        from header in headers
        let name = header.Key.ToLowerInvariant()
        where Names.Contains(name) || Array.Exists(Starts, start => name.StartsWith(start, StringComparison.Ordinal))
        select (name, header.Value.ToString());

    private static void Add(IncrementalHash hash, string text)
    {
        hash.AppendData(Encoding.UTF8.GetBytes(text));
        hash.AppendData([0]);
    }
}
