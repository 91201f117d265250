import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Puts the rules of a table in force. Started by acls.sh, which says more. */
final class Acls {
    /** Principal, kind of resource, name, pattern, operations. */
    private static final int COLUMNS = 5;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[1]);
        try (Reader reader = Files.newBufferedReader(Path.of(args[2]))) {
            properties.load(reader);
        }
        List<AclBinding> rules = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            if (!line.isBlank() && !line.startsWith("#")) {
                rules.addAll(rules(line));
            }
        }
        try (Admin admin = Admin.create(properties)) {
            admin.createAcls(rules).all().get();
        }
        System.out.println(rules.size() + " rules are in force");
    }

    private static List<AclBinding> rules(String line) {
        String[] columns = line.split("\t");
        if (columns.length != COLUMNS) {
            throw new IllegalArgumentException("not five columns with tabs between: " + line);
        }
        var resource = new ResourcePattern(
                ResourceType.fromString(constant(columns[1])),
                columns[2],
                PatternType.fromString(constant(columns[3])));
        List<AclBinding> rules = new ArrayList<>();
        for (String operation : columns[4].split(",")) {
            var entry = new AccessControlEntry(
                    "User:" + columns[0],
                    "*",
                    AclOperation.fromString(constant(operation)),
                    AclPermissionType.ALLOW);
            var rule = new AclBinding(resource, entry);
            if (rule.isUnknown()) {
                throw new IllegalArgumentException("Kafka knows no " + operation + " of: " + line);
            }
            rules.add(rule);
        }
        return rules;
    }

    /** Kafka's constant for a word of the table: DESCRIBE_CONFIGS for DescribeConfigs. */
    private static String constant(String word) {
        return word.replaceAll("(?<=[a-z])(?=[A-Z])", "_").replace('-', '_').toUpperCase(Locale.ROOT);
    }

    private Acls() {}
}
