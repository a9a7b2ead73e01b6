using Proxy.Chat;

namespace Proxy.Http;

/// <summary>
/// Refuses calls that have passed through this process before, or through too many proxies. If they were forwarded, they would loop until some limit stops
/// them.
/// </summary>
internal static class ProxyLoop
{
    public static ProxyError? Refusal(string via, ProxyIdentity own)
    {
        if (Via.Names(via, own.Id))
        {
            return new(ProxyErrorKind.ProxyLoop, $"this call is in a loop: it left this proxy ({own.Id}) for a backend that leads back to it "
                + $"(Via: {Cut(via)}); the operator has to change a backend's url");
        }

        return Via.IsTooFar(via)
            ? new(ProxyErrorKind.ProxyLoop, $"this call has passed through {Via.MostHops} proxies, which is the maximum (Via: {Cut(via)}); "
                + "the operator has to shorten the chain of proxies to the model's host")
            : null;
    }

    private static string Cut(string via) => via.Length > 300 ? via[..300] + "…" : via;
}
