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

/// <summary>A listener and the URL scheme that its clients use.</summary>
/// <param name="Options">Kestrel's.</param>
/// <param name="Scheme">http or https.</param>
/// <param name="IsAdmin">It is the operator's own socket.</param>
/// <param name="Source">The socket that it was given, or the entry of the file that it was made for.</param>
internal sealed record Listener(ListenOptions Options, string Scheme, bool IsAdmin, InheritedSocket Source)
{
    /// <summary>Where it is bound.</summary>
    public EndPoint? Address => Options.EndPoint is FileHandleEndPoint ? Listeners.AddressOf(Source) : Options.EndPoint;

    /// <summary>Its URL, with the port that was actually bound.</summary>
    public string Url => Address switch
    {
        IPEndPoint ip => $"{Scheme}://{ip}",
        UnixDomainSocketEndPoint unix => $"{(Scheme == "https" ? "https+" : "")}unix:{unix}",
        _ => $"{Scheme}://(descriptor {Source.Descriptor})",
    };
}

/// <summary>Binds the addresses of the file, or the service manager's sockets, and the admin socket.</summary>
/// <param name="plain">Middleware that serves plain requests before Kestrel sees the connection; null if Kestrel gets every connection.</param>
internal sealed partial class Listeners(ProxyConfig config, Certificates? certificates, Func<ConnectionDelegate, ConnectionDelegate>? plain) : IDisposable
{
    private readonly List<Listener> all = [];
    private readonly List<SocketClaim> claims = [];
    private readonly List<SocketClaim> adoptable = [];
    private int connections;

    public IReadOnlyList<Listener> All => all;

    /// <summary>The claims of the unix sockets among them.</summary>
    public IReadOnlyList<SocketClaim> Claims => claims;

    /// <summary>Connections of clients that are open.</summary>
    public int Connections => Volatile.Read(ref connections);

    /// <summary>Why the inherited sockets may not be served; null if they may.</summary>
    public static string? Refusal(IReadOnlyList<InheritedSocket> inherited, ProxyConfig config, ConfigSources sources)
    {
        var addresses = inherited.Select(AddressOf).ToList();
        // They replace the file's listeners, so a backend's url may lead to one of them.
        var served = config with { Server = config.Server with { Listen = [.. addresses.OfType<IPEndPoint>().Select(static address => address.ToString())] } };
        if (OwnListener.Check(served, sources).FirstOrDefault() is { } problem) return $"{problem.Key}: {problem.Message}";
        if (config.Auth.Keys.Count > 0 || config.Auth.AllowAnonymous) return null;
        var open = addresses.FirstOrDefault(static address => !IsLocal(address));
        return open is null
            ? null
            : $"the inherited socket {open} can be reached from other machines, and no key is configured: "
                + "add [[auth.keys]], or set [auth] allow_anonymous = true";
    }

    public void Configure(KestrelServerOptions kestrel, IReadOnlyList<InheritedSocket> inherited)
    {
        var given = inherited.Where(static socket => socket.Listen is null).ToList();
        foreach (var socket in given) Inherit(kestrel, socket);
        if (given.Count > 0) return;
        foreach (var text in config.Server.Listen)
        {
            if (!ListenAddress.TryParse(text, out var address, out var problem)) throw new InvalidOperationException(problem);
            if (inherited.FirstOrDefault(socket => socket.Listen == text) is { } socket)
            {
                Inherit(kestrel, socket);
                if (address.UnixPath is { } path && adoptable.Find(claim => claim.Path == path) is { } adopted) claims.Add(adopted);
                continue;
            }

            var source = new InheritedSocket(-1, "", text);
            if (address.Ip is { } ip)
            {
                kestrel.Listen(ip, options => Public(options, address.IsLocal, source));
                continue;
            }

            claims.Add(SocketClaim.Take(address.UnixPath!, out problem) ?? throw new IOException(problem));
            kestrel.ListenUnixSocket(address.UnixPath!, options => Public(options, local: true, source));
        }
    }

    /// <summary>Listens on the operator's socket.</summary>
    public void ConfigureAdmin(KestrelServerOptions kestrel, string path) => kestrel.ListenUnixSocket(path, Admin);

    /// <summary>The claim of this path that the process before this one had; null: it had none.</summary>
    public SocketClaim? Adopted(string path) => adoptable.Find(claim => claim.Path == path);

    /// <summary>The process before this one had claimed a unix socket that it hands over.</summary>
    public void Adopt(SocketClaim claim) => adoptable.Add(claim);

    /// <summary>Another process has the claims from now on: they are not released when this one ends.</summary>
    public void HandOver()
    {
        foreach (var claim in claims) claim.HandOver();
    }

    private void Inherit(KestrelServerOptions kestrel, InheritedSocket socket)
    {
        var local = IsLocal(AddressOf(socket));
        kestrel.ListenHandle((ulong)socket.Descriptor, options => Public(options, local, socket));
    }

    /// <summary>
    /// Creates the admin socket's folder, private to the user, and claims the socket. Returns null and the reason if another proxy of this user has it or it
    /// cannot
    /// be created; then the proxy serves without it.
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

    /// <summary>Releases the paths of the unix sockets for the next process. Call it after the server has stopped.</summary>
    public void Dispose()
    {
        foreach (var claim in claims) claim.Dispose();
    }

    public static EndPoint? AddressOf(InheritedSocket inherited)
    {
        using var socket = new Socket(new SafeSocketHandle(inherited.Descriptor, ownsHandle: false));
        return socket.LocalEndPoint;
    }

    private static bool IsLocal(EndPoint? address) => address is UnixDomainSocketEndPoint || (address is IPEndPoint ip && IPAddress.IsLoopback(ip.Address));

    private void Public(ListenOptions options, bool local, InheritedSocket source)
    {
        options.Use(next => async connection =>
        {
            Interlocked.Increment(ref connections);
            try
            {
                await next(connection);
            }
            finally
            {
                Interlocked.Decrement(ref connections);
            }
        });
        Remember(options, local, admin: false);
        options.Protocols = certificates is null ? HttpProtocols.Http1 : HttpProtocols.Http1AndHttp2;
        if (certificates is not null)
        {
            // A handshake computes for a millisecond and more, so it must not run on the thread that reads the sockets of other connections.
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

        all.Add(new(options, certificates is null ? "http" : "https", IsAdmin: false, source));
    }

    private void Admin(ListenOptions options)
    {
        options.Protocols = HttpProtocols.Http1;
        options.Use(static next => connection => connection.Features.Get<IConnectionSocketFeature>() is { } feature && IsOwner(feature.Socket)
            ? next(connection) : Task.CompletedTask);
        Remember(options, local: true, admin: true);
        all.Add(new(options, "http", IsAdmin: true, new(-1, "")));
    }

    private static void Remember(ListenOptions options, bool local, bool admin) => options.Use(next => connection =>
    {
        connection.Features.Set(new ConnectionFeature(local, admin, connection.RemoteEndPoint));
        return next(connection);
    });

    /// <summary>Whether the peer runs as the same user as this process, or as root (<c>man 7 unix</c>, SO_PEERCRED: pid, uid, gid).</summary>
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
