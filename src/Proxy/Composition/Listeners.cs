using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Proxy.Config;
using Proxy.Http;
using Proxy.Transport;

namespace Proxy.Composition;

/// <summary>A listener and how its clients name it.</summary>
internal sealed record Listener(ListenOptions Options, string Scheme, bool IsAdmin)
{
    /// <summary>Its URL, with the port that was really bound.</summary>
    public string Url => Options.EndPoint switch
    {
        IPEndPoint ip => $"{Scheme}://{ip}",
        UnixDomainSocketEndPoint unix => $"{(Scheme == "https" ? "https+" : "")}unix:{unix}",
        _ => $"{Scheme}://(descriptor {Options.FileHandle})",
    };
}

/// <summary>Binds what the file, or the service manager, says, and the operator's socket.</summary>
/// <param name="plain">Serves plain requests before the server sees their connection; null where the server gets them all.</param>
internal sealed partial class Listeners(ProxyConfig config, Certificates? certificates, Func<ConnectionDelegate, ConnectionDelegate>? plain) : IDisposable
{
    private readonly List<Listener> all = [];
    private readonly List<SocketClaim> claims = [];

    public IReadOnlyList<Listener> All => all;

    /// <summary>Why the inherited sockets may not be served; null when they may.</summary>
    public static string? Refusal(IReadOnlyList<InheritedSocket> inherited, ProxyConfig config, ConfigSources sources)
    {
        var addresses = inherited.Select(AddressOf).ToList();
        // They stand in for the file's own listeners, and may be what a backend's url leads to.
        var served = config with { Server = config.Server with { Listen = [.. addresses.OfType<IPEndPoint>().Select(static address => address.ToString())] } };
        if (OwnListener.Check(served, sources).FirstOrDefault() is { } problem) return $"{problem.Key}: {problem.Message}";
        if (config.Auth.Keys.Count > 0 || config.Auth.AllowAnonymous) return null;
        var open = addresses.FirstOrDefault(static address => !IsLocal(address));
        return open is null ? null : $"the inherited socket {open} can be reached from other machines, and no key is configured: add [[auth.keys]], or set [auth] allow_anonymous = true";
    }

    public void Configure(KestrelServerOptions kestrel, IReadOnlyList<InheritedSocket> inherited, string? adminPath)
    {
        if (inherited.Count > 0)
        {
            foreach (var socket in inherited)
            {
                var local = IsLocal(AddressOf(socket));
                kestrel.ListenHandle((ulong)socket.Descriptor, options => Public(options, local));
            }
        }
        else
        {
            foreach (var text in config.Server.Listen)
            {
                if (!ListenAddress.TryParse(text, out var address, out var problem)) throw new InvalidOperationException(problem);
                if (address.Ip is { } ip)
                {
                    kestrel.Listen(ip, options => Public(options, address.IsLocal));
                    continue;
                }

                claims.Add(SocketClaim.Take(address.UnixPath!, out problem) ?? throw new IOException(problem));
                kestrel.ListenUnixSocket(address.UnixPath!, options => Public(options, local: true));
            }
        }

        if (adminPath is not null) kestrel.ListenUnixSocket(adminPath, Admin);
    }

    /// <summary>
    /// Makes the admin socket's folder, the owner's alone, and claims the socket. Null, and the reason, where another proxy of this user has it or it cannot be
    /// had: we serve without it.
    /// </summary>
    public static SocketClaim? ClaimAdmin(string path, out string? reason)
    {
        try
        {
            if (Path.GetDirectoryName(path) is { Length: > 0 } folder && !Directory.Exists(folder))
                Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return SocketClaim.Take(path, out reason);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            reason = problem.Message;
            return null;
        }
    }

    /// <summary>Gives the paths of the unix sockets to whoever starts next. After the server has ended.</summary>
    public void Dispose()
    {
        foreach (var claim in claims) claim.Dispose();
    }

    private static EndPoint? AddressOf(InheritedSocket inherited)
    {
        using var socket = new Socket(new SafeSocketHandle(inherited.Descriptor, ownsHandle: false));
        return socket.LocalEndPoint;
    }

    private static bool IsLocal(EndPoint? address) => address is UnixDomainSocketEndPoint || (address is IPEndPoint ip && IPAddress.IsLoopback(ip.Address));

    private void Public(ListenOptions options, bool local)
    {
        Remember(options, local, admin: false);
        options.Protocols = certificates is null ? HttpProtocols.Http1 : HttpProtocols.Http1AndHttp2;
        if (certificates is not null)
        {
            // A handshake computes for a millisecond and more; the thread that reads the sockets has others to serve meanwhile.
            options.Use(static next => async connection =>
            {
                await Task.Yield();
                await next(connection);
            });
            options.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = certificates.AnswerAsync });
        }
        else
        {
            if (plain is not null) options.Use(plain);
            options.Use(PriorKnowledge.Use);
        }

        all.Add(new(options, certificates is null ? "http" : "https", IsAdmin: false));
    }

    private void Admin(ListenOptions options)
    {
        options.Protocols = HttpProtocols.Http1;
        options.Use(static next => connection => connection.Features.Get<IConnectionSocketFeature>() is { } feature && IsOwner(feature.Socket)
            ? next(connection) : Task.CompletedTask);
        Remember(options, local: true, admin: true);
        all.Add(new(options, "http", IsAdmin: true));
    }

    private static void Remember(ListenOptions options, bool local, bool admin) => options.Use(next => connection =>
    {
        connection.Features.Set(new ConnectionFeature(local, admin));
        return next(connection);
    });

    /// <summary>The peer is the user we run as, or root (<c>man 7 unix</c>, SO_PEERCRED: pid, uid, gid).</summary>
    private static bool IsOwner(Socket socket)
    {
        Span<byte> credentials = stackalloc byte[12];
        if (socket.GetRawSocketOption(1, 17, credentials) < 12) return false;
        var user = MemoryMarshal.Read<uint>(credentials[4..]);
        return user == 0 || user == UserId();
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint UserId();
}
