using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The files of the Debian package besides the program.</summary>
[Trait("Category", "System")]
public sealed class PackageTests
{
    [Fact]
    public async Task Package_Has_the_licences_of_all_that_the_program_carries()
    {
        var package = Environment.GetEnvironmentVariable("PROXY_PACKAGE");
        Assert.SkipUnless(File.Exists(package), "needs the package: ./build.sh test without --quick");
        var folder = Directory.CreateTempSubdirectory("package-");
        try
        {
            await Command.RunAsync("dpkg-deb", "--extract", Path.GetFullPath(package!), folder.FullName);
            var documents = Path.Combine(folder.FullName, "usr/share/doc/proxy");
            var page = await File.ReadAllTextAsync(Path.Combine(documents, "copyright"), TestContext.Current.CancellationToken);
            await Command.RunAsync("gunzip", Path.Combine(documents, "NOTICES.gz"));
            var notices = await File.ReadAllTextAsync(Path.Combine(documents, "NOTICES"), TestContext.Current.CancellationToken);

            Assert.StartsWith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/", page, StringComparison.Ordinal);
            foreach (var part in (string[])["libonnxruntime.so", "libstdc++.so.6", "libssl.a", "models/all-minilm/*", "UnicodeTables.cs",
                "Tmds.DBus.Protocol.dll", "Tomlyn.dll", "ZstdSharp.dll", "System.*"])
                Assert.Contains(part, page, StringComparison.Ordinal);
            // Each licence that a part names has a paragraph of its own.
            var named = page.Split("\n\n").Where(static stanza => stanza.StartsWith("Files:", StringComparison.Ordinal))
                .Select(static stanza => stanza.Split('\n').Single(static line => line.StartsWith("License:", StringComparison.Ordinal)));
            Assert.All(named, license => Assert.Contains($"\n\n{license}\n ", page, StringComparison.Ordinal));
            Assert.Contains(page, notices, StringComparison.Ordinal);
            Assert.Contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION", notices, StringComparison.Ordinal);
            Assert.Contains("Notices of ONNX Runtime", notices, StringComparison.Ordinal);
            Assert.Contains("Notices of .NET", notices, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
