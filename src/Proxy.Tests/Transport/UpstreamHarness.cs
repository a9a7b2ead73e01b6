using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

/// <summary>A client, a host and a clock that stands still until a test moves it.</summary>
internal sealed class UpstreamHarness : IDisposable
{
    public UpstreamHarness(UpstreamTarget? target = null)
    {
        Ticker = new(Time);
        Client = UpstreamClients.Create(target ?? new(Host.Address), Ticker);
    }

    public FakeHost Host { get; } = new();
    public FakeTimeProvider Time { get; } = new();
    public CoarseTicker Ticker { get; }
    public UpstreamClient Client { get; }

    public static UpstreamRequest Post(string body = "{}") => new("POST", "/v1/x", new(Encoding.UTF8.GetBytes(body))) { ContentType = "application/json" };

    public static UpstreamRequest Get(string path = "/") => new("GET", path, default);

    public void Dispose()
    {
        Client.Dispose();
        Ticker.Dispose();
        Host.Dispose();
    }
}

internal static class ReplyReading
{
    /// <summary>Everything up to the first outcome that is not data, as text.</summary>
    public static async Task<(string Text, ReplyReadKind Last)> ReadAllAsync(this ReplyBody body)
    {
        using var all = new PooledBody();
        while (true)
        {
            var read = await body.ReadAsync();
            if (read.Kind != ReplyReadKind.Data) return (Encoding.Latin1.GetString(all.Span), read.Kind);
            Assert.False(read.Bytes.IsEmpty);
            all.Write(read.Bytes.Span);
        }
    }
}
