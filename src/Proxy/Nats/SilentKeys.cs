using System.Collections.Frozen;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>The keys with <c>publish = false</c>, as the current configuration has them. Thread-safe.</summary>
internal sealed class SilentKeys(Func<ProxyConfig> current)
{
    private Names names = new(current());

    public bool Has(string owner)
    {
        var config = current();
        var known = Volatile.Read(ref names);
        if (!ReferenceEquals(known.Config, config)) Volatile.Write(ref names, known = new(config));
        return known.Silent.Contains(owner);
    }

    private sealed class Names(ProxyConfig config)
    {
        public ProxyConfig Config => config;

        public FrozenSet<string> Silent { get; } = config.Auth.Keys.Where(static key => !key.Publish).Select(static key => key.Name).ToFrozenSet();
    }
}
