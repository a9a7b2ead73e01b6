using System.Collections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Proxy.Transport.Loops;

/// <summary>A connection's features: so few that a list is smaller and quicker than a dictionary.</summary>
internal sealed class ConnectionFeatures : IFeatureCollection
{
    private readonly List<KeyValuePair<Type, object>> features;
    private Found? last; // the same one is asked for at every request

    private sealed record Found(Type Key, object? Value);

    public ConnectionFeatures(LoopConnection connection) => features = new(12)
    {
        new(typeof(IRelayOutput), connection),
        new(typeof(IConnectionIdFeature), connection),
        new(typeof(IConnectionTransportFeature), connection),
        new(typeof(IConnectionItemsFeature), connection),
        new(typeof(IConnectionLifetimeFeature), connection),
        new(typeof(IConnectionEndPointFeature), connection),
        new(typeof(IMemoryPoolFeature), BlockPool.Only),
    };

    public bool IsReadOnly => false;

    public int Revision { get; private set; }

    public object? this[Type key]
    {
        get
        {
            if (last is { } found && ReferenceEquals(found.Key, key)) return found.Value;
            foreach (var feature in features)
            {
                if (feature.Key != key) continue;
                last = new(key, feature.Value);
                return feature.Value;
            }

            return null;
        }

        set
        {
            Revision++;
            last = null;
            var index = features.FindIndex(feature => feature.Key == key);
            if (index >= 0) features.RemoveAt(index);
            if (value is not null) features.Add(new(key, value));
        }
    }

    public TFeature? Get<TFeature>() => (TFeature?)this[typeof(TFeature)];

    public void Set<TFeature>(TFeature? instance) => this[typeof(TFeature)] = instance;

    public IEnumerator<KeyValuePair<Type, object>> GetEnumerator() => features.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
