using System.Net.Sockets;
using Proxy.Composition;

namespace Proxy.Tests.Composition;

public sealed class SocketClaimTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-claim-").FullName;

    private string Place => Path.Combine(folder, "admin.sock");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Many_claim_at_once_One_binds_and_the_others_are_told(bool leftBehind)
    {
        for (var round = 0; round < 20; round++)
        {
            if (leftBehind) LeaveBehind();
            using var start = new Barrier(8);

            var claims = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Factory.StartNew(() =>
            {
                start.SignalAndWait();
                var claim = SocketClaim.Take(Place, out var reason);
                var socket = claim is null ? null : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket?.Bind(new UnixDomainSocketEndPoint(Place));
                socket?.Listen();
                return (Claim: claim, Socket: socket, Reason: reason);
            }, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default)));

            Assert.Single(claims, claim => claim.Claim is not null);
            Assert.All(claims.Where(claim => claim.Claim is null), claim => Assert.Equal($"another process serves {Place}", claim.Reason));
            foreach (var (claim, socket, _) in claims)
            {
                socket?.Dispose();
                claim?.Dispose();
            }
        }
    }

    [Fact]
    public void Somebody_without_a_lock_serves_it_It_is_theirs()
    {
        using var other = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        other.Bind(new UnixDomainSocketEndPoint(Place));
        other.Listen();

        Assert.Null(SocketClaim.Take(Place, out var reason));

        Assert.Equal($"another process serves {Place}", reason);
        Assert.True(File.Exists(Place));
    }

    [Fact]
    public void The_path_cannot_be_had_The_reason_is_told()
    {
        Directory.CreateDirectory(Place);
        foreach (var (path, words) in new[] { (Place, "is a folder"), (Path.Combine(folder, new string('x', 120)), "longer than the 107 characters"),
            (Path.Combine(folder, "none", "a.sock"), "none") })
        {
            Assert.Null(SocketClaim.Take(path, out var reason));
            Assert.Contains(words, reason, StringComparison.Ordinal);
        }
    }

    private void LeaveBehind()
    {
        File.Delete(Place);
        // If a process dies without closing its socket, the socket's file remains. This process lives on, so the test uses a plain file instead.
        File.WriteAllText(Place, "");
    }
}
