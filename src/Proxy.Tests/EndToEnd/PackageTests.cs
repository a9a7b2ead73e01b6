using System.Security.Cryptography;
using System.Text.Json;
using System.Xml.Linq;
using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

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

    [Fact]
    public async Task Package_Has_a_manual_page_completions_and_a_list_of_its_parts_and_the_tarball_is_the_same()
    {
        var package = Environment.GetEnvironmentVariable("PROXY_PACKAGE");
        var tarball = Environment.GetEnvironmentVariable("PROXY_TARBALL");
        Assert.SkipUnless(File.Exists(package) && File.Exists(tarball), "needs the package and the tarball: ./build.sh test without --quick");
        var folder = Directory.CreateTempSubdirectory("package-");
        try
        {
            var (deb, tar) = (folder.CreateSubdirectory("deb").FullName, folder.CreateSubdirectory("tar").FullName);
            await Command.RunAsync("dpkg-deb", "--extract", Path.GetFullPath(package!), deb);
            await Command.RunAsync("tar", "--extract", "--gzip", "--strip-components=1", "--directory", tar, "--file", Path.GetFullPath(tarball!));
            Assert.Equal("", await Command.RunAsync("diff", "--recursive", deb, tar));

            var program = Path.Combine(deb, "usr/bin/proxy");
            await Command.RunAsync("gunzip", Path.Combine(deb, "usr/share/man/man1/proxy.1.gz"));
            foreach (var (file, verb) in ((string, string[])[])
            [
                ("usr/share/man/man1/proxy.1", ["man"]),
                ("usr/share/bash-completion/completions/proxy", ["completion", "bash"]),
                ("usr/share/zsh/vendor-completions/_proxy", ["completion", "zsh"]),
                ("usr/share/fish/vendor_completions.d/proxy.fish", ["completion", "fish"]),
            ])
                Assert.Equal(await Command.RunAsync(program, verb), (await File.ReadAllTextAsync(Path.Combine(deb, file))).TrimEnd());

            using var parts = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(deb, "usr/share/doc/proxy/sbom.cdx.json")));
            var listed = parts.RootElement.GetProperty("components").EnumerateArray()
                .ToDictionary(static part => part.GetProperty("name").GetString()!, static part => part.GetProperty("version").GetString()!);
            foreach (var (name, version) in await PackagesOfTheProgramAsync()) Assert.Equal(version, listed[name]);
            Assert.Superset(new HashSet<string> { "openssl", "libstdc++", "libgcc_s", "all-MiniLM-L6-v2" }, listed.Keys.ToHashSet());
            Assert.DoesNotContain("Microsoft.CodeAnalysis.BannedApiAnalyzers", listed.Keys);
            var digest = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(program)));
            var whole = parts.RootElement.GetProperty("metadata").GetProperty("component");
            Assert.Equal(digest, whole.GetProperty("hashes")[0].GetProperty("content").GetString());

            var (exitCode, output) = await Command.TryAsync(
                "sh", "-c", "cd \"$1\" && sha256sum --check --strict SHA256SUMS", "sh", Path.GetDirectoryName(Path.GetFullPath(package!))!);
            Assert.True(exitCode == 0, output);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Service_Is_exposed_at_most_1_5_of_10()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/systemd-analyze"), "needs systemd-analyze");
        var (exitCode, output) = await Command.TryAsync(
            "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", Path.Combine(Repository.Root, "proxy.service"));

        Assert.True(exitCode == 0, output);
    }

    /// <summary>The packages that the program's project references and that are in its binary.</summary>
    private static async Task<IReadOnlyList<(string Name, string Version)>> PackagesOfTheProgramAsync()
    {
        var versions = XDocument.Parse(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Directory.Packages.props"))).Descendants("PackageVersion")
            .ToDictionary(static one => one.Attribute("Include")!.Value, static one => one.Attribute("Version")!.Value);
        var projects = Repository.Files("src/Proxy").Where(static file => Path.GetExtension(file) is ".csproj" or ".targets");
        var names = projects.SelectMany(static file => XDocument.Parse(Repository.Read(file)).Descendants("PackageReference"))
            .Select(static one => one.Attribute("Include")!.Value).Where(static name => !name.Contains("Analyzers", StringComparison.Ordinal))
            .Distinct().ToList();
        Assert.True(names.Count > 8, "nothing was read");
        return [.. names.Select(name => (name, versions[name]))];
    }
}
