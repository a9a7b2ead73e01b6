using Proxy.Chat;

namespace Proxy.Http;

/// <summary>Calls that have come through this very process already, or through too many others: sent on, they would go round until something gives way.</summary>
internal static class ProxyLoop
{
    public static ProxyError? Refusal(string via, ProxyIdentity own)
    {
        if (Via.Names(via, own.Id))
            return new(ProxyErrorKind.ProxyLoop, $"this call has been here before and would go round for ever: it left this proxy ({own.Id}) for a backend that leads back to it (Via: {Cut(via)}); the operator has to change a backend's url");
        return Via.IsTooFar(via)
            ? new(ProxyErrorKind.ProxyLoop, $"this call has passed through {Via.MostHops} proxies, which is the most that one may (Via: {Cut(via)}); the operator has to shorten the way to the model's host")
            : null;
    }

    private static string Cut(string via) => via.Length > 300 ? via[..300] + "…" : via;
}
