using System.Security.Cryptography;

namespace Proxy.Chat;

/// <summary>By what other proxies know this process, and this process a call that comes back to it: a random id, anew with every start.</summary>
internal sealed class ProxyIdentity
{
    /// <summary>The header of <c>/api/version</c> and of the listings in which a proxy says that it is one, and which.</summary>
    public const string Header = "x-proxy-id";

    private const string Prefix = "proxy-";
    private const int Digits = 16;

    public ProxyIdentity()
    {
        Id = Prefix + RandomNumberGenerator.GetHexString(Digits, lowercase: true);
        Via = "1.1 " + Id;
    }

    public string Id { get; }

    /// <summary>What this process adds to <c>Via</c>.</summary>
    public string Via { get; }

    public static bool IsId(ReadOnlySpan<char> text)
    {
        if (text.Length != Prefix.Length + Digits || !text.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        foreach (var digit in text[Prefix.Length..])
        {
            if (!char.IsAsciiHexDigitLower(digit)) return false;
        }

        return true;
    }
}
