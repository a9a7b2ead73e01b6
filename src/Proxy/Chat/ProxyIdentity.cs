using System.Security.Cryptography;

namespace Proxy.Chat;

/// <summary>The random id of this process, new at every start. Other proxies recognise this proxy by it, and this proxy a call that comes back to it.</summary>
internal sealed class ProxyIdentity
{
    /// <summary>
    /// The header with this id in the answers of <c>/api/version</c> and of the model listings. It tells other proxies that this host is a proxy, and which
    /// one.
    /// </summary>
    public const string Header = "x-proxy-id";

    private const string Prefix = "proxy-";
    private const int Digits = 16;

    public ProxyIdentity()
    {
        Id = Prefix + RandomNumberGenerator.GetHexString(Digits, lowercase: true);
        Via = "1.1 " + Id;
    }

    public string Id { get; }

    /// <summary>The entry that this process adds to <c>Via</c>.</summary>
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
